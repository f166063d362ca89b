import { createPrivateKey, randomUUID, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { SignJWT } from 'jose'
import type { Certificate } from '../certificate.ts'
import { type Received, type Recorder, startRecorder } from './recorder.ts'

/** What one account of a token server may do, by repository; `*` for every repository. */
export type Account = { password: string; pull: readonly string[] }

export type TokenServer = {
  recorder: Recorder
  service: string
  issuer: string
  /** A token for the test itself, such as for pushing. */
  issue(access: readonly { type: string; name: string; actions: string[] }[]): Promise<string>
  respond(request: Received, response: ServerResponse): Promise<void>
}

export type TokenServerOptions = {
  tls: Certificate
  /** Signs the tokens; docker-registry trusts who issued it. */
  signer: Certificate
  accounts: Record<string, Account>
  /** Repositories that may be pulled without an account. */
  anonymous?: readonly string[]
  lifetimeSeconds?: number
  /** Whether GET is answered, or only the POST of OAuth 2. Default: both. */
  only?: 'POST'
}

const SERVICE = 'test-registry'
const ISSUER = 'test-issuer'

/** Starts a token service of the docker token specification, whose tokens docker-registry accepts. */
export async function startTokenServer(options: TokenServerOptions): Promise<TokenServer> {
  const key = createPrivateKey(readFileSync(options.signer.keyFile))
  const certificate = new X509Certificate(readFileSync(options.signer.certFile)).raw.toString('base64')

  const issue: TokenServer['issue'] = (access) => {
    const seconds = Math.floor(Date.now() / 1000)
    return new SignJWT({ access })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', x5c: [certificate] })
      .setIssuer(ISSUER)
      .setAudience(SERVICE)
      .setIssuedAt(seconds)
      .setNotBefore(seconds - 5)
      .setExpirationTime(seconds + (options.lifetimeSeconds ?? 300))
      .setJti(randomUUID())
      .sign(key)
  }

  const respond: TokenServer['respond'] = async (request, response) => {
    if (options.only === 'POST' && request.method !== 'POST') {
      response.writeHead(405).end()
      return
    }
    const asked = request.method === 'POST' ? new URLSearchParams(request.body) : queryOf(request.url)
    const account = authenticate(request, asked, options.accounts)
    if (account === 'refused' || asked.get('service') !== SERVICE) {
      response.writeHead(401, { 'content-type': 'application/json' })
      response.end('{"errors":[{"code":"UNAUTHORIZED","message":"wrong"}]}')
      return
    }
    const allowed = account === null ? (options.anonymous ?? []) : account.pull
    const token = await issue(narrow(asked.getAll('scope'), allowed))
    const answer = { token, access_token: token, expires_in: options.lifetimeSeconds ?? 300 }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
  }

  const recorder = await startRecorder(options.tls, respond)
  return { recorder, service: SERVICE, issuer: ISSUER, issue, respond }
}

function authenticate(
  request: Received,
  form: URLSearchParams,
  accounts: Record<string, Account>,
): Account | null | 'refused' {
  const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1]
  if (basic === undefined && form.get('grant_type') === null) return null
  const text =
    basic === undefined
      ? `${form.get('username')}:${form.get('password')}`
      : Buffer.from(basic, 'base64').toString()
  const colon = text.indexOf(':')
  const account = accounts[text.slice(0, colon)]
  return account !== undefined && account.password === text.slice(colon + 1) ? account : 'refused'
}

function narrow(scopes: readonly string[], allowed: readonly string[]) {
  return scopes.flatMap((scope) => {
    const [type = '', name = '', actions = ''] = scope.split(':')
    const isAllowed = type === 'repository' && (allowed.includes(name) || allowed.includes('*'))
    const isCatalog = type === 'registry' && allowed.includes('*')
    if (isCatalog) return [{ type, name, actions: ['*'] }]
    return isAllowed && actions.includes('pull') ? [{ type, name, actions: ['pull'] }] : []
  })
}

function queryOf(url: string): URLSearchParams {
  return new URL(url, 'https://token.test').searchParams
}
