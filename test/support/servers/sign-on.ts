import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Provider } from 'oidc-provider'

/*
 * A real OpenID provider for the single sign-on of people, on the loopback address. Where it would ask for a password it
 * signs in whoever the test has put before the screen.
 */

/** Somebody with an account at the provider. */
export interface ProviderPerson {
  readonly sub: string
  readonly email: string
  readonly emailVerified: boolean
  readonly name: string
}

export interface SignOnProvider extends AsyncDisposable {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string
  /** What the console asked for in its last authorization request. */
  readonly requests: URLSearchParams[]
  /** Who sits before the screen; null: they cancel. */
  person: ProviderPerson | null
  /** Answers 503 to everything. */
  isAway: boolean
  /** How long ago they typed their password there, in seconds. */
  signedInSecondsAgo: number
  stop(): Promise<void>
}

/**
 * Starts it. `redirectUri`: where it sends people back to. `tellsAuthTime` false: says when it asked for the password only
 * where the specification makes it, which is when the request has a `max_age`.
 */
export async function startSignOnProvider(
  redirectUri: string,
  { tellsAuthTime = true }: { readonly tellsAuthTime?: boolean } = {},
): Promise<SignOnProvider> {
  const clientSecret = randomBytes(24).toString('hex')
  let callback: ReturnType<Provider['callback']> | null = null
  const server = createServer((request, response) => {
    if (started.isAway) return void response.writeHead(503).end()
    const url = new URL(request.url ?? '/', 'http://provider')
    if (url.pathname === '/auth') started.requests.push(url.searchParams)
    if (url.pathname.startsWith('/interaction/')) void interact(provider, started, request, response)
    else void callback?.(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const stop = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  const started: SignOnProvider = {
    issuer,
    clientId: 'berth-console',
    clientSecret,
    requests: [],
    person: null,
    isAway: false,
    signedInSecondsAgo: 0,
    stop,
    [Symbol.asyncDispose]: stop,
  }
  const known = new Map<string, ProviderPerson>()
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: started.clientId,
        client_secret: clientSecret,
        redirect_uris: [redirectUri],
        response_types: ['code'],
        grant_types: ['authorization_code'],
        require_auth_time: tellsAuthTime,
      },
    ],
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'test' }] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
    pkce: { required: () => true },
    findAccount: (_context, sub) => {
      const person = started.person?.sub === sub ? started.person : known.get(sub)
      if (person === undefined) return undefined
      known.set(sub, person)
      const { email, emailVerified, name } = person
      return {
        accountId: sub,
        claims: async () => ({ sub, email, email_verified: emailVerified, name }),
      }
    },
  })
  callback = provider.callback()
  return started
}

async function interact(
  provider: Provider,
  { person, signedInSecondsAgo }: SignOnProvider,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { prompt, params, session } = await provider.interactionDetails(request, response)
  if (person === null) {
    const cancelled = { error: 'access_denied', error_description: 'cancelled' }
    return provider.interactionFinished(request, response, cancelled, { mergeWithLastSubmission: false })
  }
  if (prompt.name === 'login') {
    const ts = Math.floor(Date.now() / 1000) - signedInSecondsAgo
    return provider.interactionFinished(request, response, { login: { accountId: person.sub, ts } })
  }
  const grant = new provider.Grant({
    accountId: session?.accountId ?? person.sub,
    clientId: String(params['client_id']),
  })
  grant.addOIDCScope(String(params['scope']))
  const consent = { grantId: await grant.save() }
  return provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true })
}
