import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { Provider } from 'oidc-provider'
import type { Certificate } from '../certificate.ts'

/** The claims of one job. */
export type JobClaims = Record<string, string | number | boolean | readonly string[]>

export type OidcIssuer = {
  /** `iss` of its tokens. */
  readonly url: string
  /** What the CI service would hand to a job. */
  token(audience: string, claims: JobClaims): Promise<string>
}

export type OidcIssuers = AsyncDisposable & {
  /** By the path given. */
  readonly issuers: ReadonlyMap<string, OidcIssuer>
  /**
   * Where jobs ask for tokens, as GitHub's runners do: `GET <url>&audience=…` with `Authorization: bearer <requestToken>`
   * answers `{"value": "<token>"}` for the job that was set last.
   */
  readonly requestUrl: string
  readonly requestToken: string
  setJob(issuer: OidcIssuer, claims: JobClaims): void
  stop(): Promise<void>
}

/**
 * Starts real OpenID providers, one for each path, on one https port of the loopback address. They publish their keys
 * and sign ID tokens with the claims that a CI service puts in. `audiences` are those that jobs may ask for.
 */
export async function startOidcIssuers(options: {
  readonly certificate: Certificate
  readonly paths: readonly string[]
  readonly audiences: readonly string[]
}): Promise<OidcIssuers> {
  const providers = new Map<string, Provider>()
  const server = createServer(
    { cert: readFileSync(options.certificate.certFile), key: readFileSync(options.certificate.keyFile) },
    (request, response) => serve(providers, request, response),
  )
  const origin = `https://127.0.0.1:${await listen(server)}`
  const issuers = new Map<string, OidcIssuer>()
  for (const path of options.paths) {
    const provider = createProvider(`${origin}${path}`, options.audiences)
    providers.set(path, provider)
    issuers.set(path, {
      url: provider.issuer,
      token: (audience, claims) => issueToken(provider, audience, claims),
    })
  }
  const requestToken = randomBytes(16).toString('hex')
  let job: { issuer: OidcIssuer; claims: JobClaims } | null = null
  const runner = createHttpServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://runner')
    const isAllowed = request.headers.authorization === `bearer ${requestToken}` && job !== null
    if (!isAllowed || job === null) return void response.writeHead(401).end()
    job.issuer.token(url.searchParams.get('audience') ?? '', job.claims).then(
      (value) => response.setHeader('content-type', 'application/json').end(JSON.stringify({ value })),
      () => response.writeHead(400).end(),
    )
  })
  const runnerPort = await listen(runner)
  const stop = async (): Promise<void> => {
    for (const each of [server, runner]) {
      each.closeAllConnections()
      await new Promise((resolve) => each.close(resolve))
    }
  }
  return {
    issuers,
    requestUrl: `http://127.0.0.1:${runnerPort}/token?api-version=2.0`,
    requestToken,
    setJob(issuer, claims) {
      job = { issuer, claims }
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

function createProvider(issuer: string, audiences: readonly string[]): Provider {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = privateKey.export({ format: 'jwk' })
  return new Provider(issuer, {
    jwks: { keys: [{ ...jwk, kid: randomUUID(), alg: 'RS256', use: 'sig' } as never] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    features: { devInteractions: { enabled: false } },
    // A client's id is the audience of its ID tokens.
    clients: audiences.map((audience) => ({
      client_id: audience,
      token_endpoint_auth_method: 'none',
      redirect_uris: [],
      response_types: [],
      grant_types: [],
    })),
  })
}

interface IssuableToken {
  scope: string
  set(claim: string, value: unknown): void
  issue(options: { use: 'idtoken'; expiresAt: number }): Promise<string>
}

/** The class is what the library signs its own ID tokens with; its types leave it out. */
interface WithIdToken {
  readonly IdToken: new (claims: object, context: object) => IssuableToken
}

async function issueToken(provider: Provider, audience: string, claims: JobClaims): Promise<string> {
  const client = await provider.Client.find(audience)
  if (client === undefined) throw new Error(`no job may ask for a token for ${audience}`)
  const { IdToken } = provider as unknown as WithIdToken
  const token = new IdToken({ sub: claims['sub'] ?? 'job' }, { client })
  token.scope = 'openid'
  for (const [claim, value] of Object.entries({ jti: randomUUID(), ...claims })) token.set(claim, value)
  return token.issue({ use: 'idtoken', expiresAt: Math.floor(Date.now() / 1000) + 300 })
}

/** Mounts each provider under its path, as Express would. */
function serve(
  providers: ReadonlyMap<string, Provider>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const url = request.url ?? '/'
  // The longest path first: one of them may be empty.
  for (const [path, provider] of [...providers].sort(([a], [b]) => b.length - a.length)) {
    if (!url.startsWith(`${path}/`)) continue
    Object.assign(request, { originalUrl: url, url: url.slice(path.length) })
    void provider.callback()(request, response)
    return
  }
  response.writeHead(404).end()
}

async function listen(
  server: ReturnType<typeof createHttpServer> | ReturnType<typeof createServer>,
): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}
