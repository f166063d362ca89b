import type { IncomingMessage } from 'node:http'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import { displayName } from '@berth/api/fields'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { listPasskeys } from '../../metastore/queries/passkey.ts'
import { endSession } from '../../metastore/queries/person-session.ts'
import { isSteppedUp, type PersonPrincipal } from '../principal.ts'
import { readBytes, readJsonBody } from '../read-body.ts'
import type { ControlRuntime } from '../runtime.ts'
import { asAuthChange } from './auth-change.ts'
import { sessionCookieName, sessionTokenOf } from './cookies.ts'
import { registerDeviceRoutes } from './device-routes.ts'
import { MAX_FORM_BYTES, MAX_PASSKEYS } from './limits.ts'
import type { People } from './people.ts'
import { type RequestFacts, requestFacts } from './request-facts.ts'
import { isSameOrigin } from './same-origin.ts'
import { principalOfCookie } from './session-principal.ts'
import { noteFailure } from './sign-in.ts'

/** The only paths of the sign-in library that exist here, with why each may be asked for without a token. */
export const AUTH_PATHS: Readonly<Record<string, string>> = {
  '/api/auth/callback/sso': 'where the issuer of single sign-on sends people back to',
  '/api/auth/device/code': 'starts a device login (RFC 8628), which a person approves',
  '/api/auth/device/token': 'ends a device login; the device code is the credential',
  '/api/auth/passkey/generate-authenticate-options': 'a challenge to sign in with a passkey',
  '/api/auth/passkey/verify-authentication': 'signs in with a passkey',
  '/api/auth/passkey/generate-register-options': 'asks for a session that was confirmed lately',
  '/api/auth/passkey/verify-registration': 'asks for a session that was confirmed lately',
}

/** Registers them; whatever else the library could do is not found. */
export function registerAuthRoutes(app: FastifyInstance, runtime: ControlRuntime, people: People): void {
  void app.register(async (scope) => {
    readAuthBodies(scope)
    scope.addHook('onRequest', async (request) => {
      await people.requests.spend(requestFacts(runtime, request).address)
      if (request.method === 'POST' && !isSameOrigin(request.headers, runtime.consoleUrl)) {
        throw new ApiError('forbidden', 'The request comes from another site than the console.')
      }
    })
    registerDeviceRoutes(scope, runtime, people)
    registerSsoCallback(scope, runtime, people)
    registerPasskeyRoutes(scope, runtime, people)
  })
}

/** JSON, and forms for the device flow, whose RFC asks for them. */
function readAuthBodies(scope: FastifyInstance): void {
  scope.addContentTypeParser(
    'application/x-www-form-urlencoded',
    async (_request: FastifyRequest, body: IncomingMessage) => {
      const text = (await readBytes(body, MAX_FORM_BYTES)).toString('utf8')
      return Object.fromEntries(new URLSearchParams(text))
    },
  )
  scope.removeContentTypeParser('application/json')
  scope.addContentTypeParser('application/json', async (_request: FastifyRequest, body: IncomingMessage) =>
    readJsonBody(body),
  )
}

function registerSsoCallback(scope: FastifyInstance, runtime: ControlRuntime, people: People): void {
  const path = '/api/auth/callback/sso'
  scope.get(path, { config: { route: 'sso_callback' }, exposeHeadRoute: false }, async (request, reply) => {
    const auth = await people.sso()
    if (auth === null) throw new ApiError('route_not_found')
    const facts = requestFacts(runtime, request)
    const before = await browserSession(runtime, request)
    // What the issuer says about when it asked for a password replaces the time. Whoever is signed in already comes to
    // confirm: the browser could have left out that we asked for the password, so an issuer that does not say counts for
    // nothing.
    const confirmedAt = before === null ? facts.nowMs : null
    const change = { ...facts, method: 'sso' as const, confirmedAt, userId: null }
    const answer = await asAuthChange(change, () => auth.handler(toWebRequest(runtime, request)))
    if (
      answer.headers.getSetCookie().some((cookie) => cookie.startsWith(sessionCookieName(runtime.consoleUrl)))
    ) {
      await endSessionBefore(runtime, before, facts)
      await people.sweep()
    }
    reply.header('Set-Cookie', answer.headers.getSetCookie())
    return reply
      .code(303)
      .header('Location', ownLocation(runtime, answer.headers.get('location')))
      .send()
  })
}

/** The library goes on at what the sign-in was started with, which was checked then; anything else is a failure. */
function ownLocation({ consoleUrl }: ControlRuntime, location: string | null): string {
  const url = location === null ? null : URL.parse(location, consoleUrl)
  const isOwn = url !== null && url.origin === new URL(consoleUrl).origin
  return isOwn ? url.pathname + url.search : '/sign-in?error=failed'
}

function registerPasskeyRoutes(scope: FastifyInstance, runtime: ControlRuntime, people: People): void {
  const prefix = '/api/auth/passkey'
  const forNew = async (request: FastifyRequest, reply: FastifyReply) => {
    const person = await browserSession(runtime, request)
    if (person === null) throw new ApiError('unauthenticated', 'Sign in first.')
    if (!isSteppedUp(person, runtime.clock.nowMs())) throw new ApiError('step_up_required')
    await checkNewPasskey(runtime, request, person)
    const answer = await passToLibrary({ runtime, people }, request, person)
    return sendJson(reply, answer, (value) => value)
  }
  const register = { config: { route: 'passkey_register' } }
  scope.get(`${prefix}/generate-register-options`, register, forNew)
  scope.post(`${prefix}/verify-registration`, register, forNew)
  const signIn = { config: { route: 'passkey_sign_in' } }
  scope.get(`${prefix}/generate-authenticate-options`, signIn, async (request, reply) =>
    sendJson(reply, await passToLibrary({ runtime, people }, request, null), (value) => value),
  )
  scope.post(`${prefix}/verify-authentication`, signIn, async (request, reply) => {
    const before = await browserSession(runtime, request)
    const answer = await passToLibrary({ runtime, people }, request, null)
    const facts = requestFacts(runtime, request)
    if (answer.ok) await endSessionBefore(runtime, before, facts)
    // Anything else is no attempt at an account, and anybody could fill the audit log with it.
    else if (answer.status === 401) await noteFailure({ runtime, facts }, null, 'passkey')
    await people.sweep()
    // The session's token is in the cookie alone, out of reach of scripts.
    return sendJson(reply, answer, (value) => {
      const { user } = value as { readonly user: { id: string; email: string; name: string } }
      return { user: { id: user.id, email: user.email, name: user.name } }
    })
  })
}

/** Raises `validation_failed` for a name that no other thing here may have, and `too_many_passkeys`. */
async function checkNewPasskey(
  runtime: ControlRuntime,
  request: FastifyRequest,
  { userId }: PersonPrincipal,
): Promise<void> {
  const { name } = (request.body ?? {}) as { readonly name?: unknown }
  const parsed = displayName.optional().safeParse(name)
  if (!parsed.success) {
    const errors = parsed.error.issues.map(({ message }) => ({ path: 'body.name', message }))
    throw new ApiError('validation_failed', undefined, { errors })
  }
  const existing = await listPasskeys(runtime.db.reader, userId, { after: null, limit: MAX_PASSKEYS })
  if (existing.length >= MAX_PASSKEYS) throw new ApiError('too_many_passkeys')
}

async function passToLibrary(
  { runtime, people }: { readonly runtime: ControlRuntime; readonly people: People },
  request: FastifyRequest,
  person: PersonPrincipal | null,
): Promise<Response> {
  const auth = await people.auth()
  const facts = requestFacts(runtime, request)
  const change = {
    ...facts,
    method: 'passkey' as const,
    confirmedAt: facts.nowMs,
    userId: person?.userId ?? null,
  }
  return asAuthChange(change, () => auth.handler(toWebRequest(runtime, request)))
}

/** The request as the library takes it, at the console's own address whatever the client called it. */
function toWebRequest({ consoleUrl }: ControlRuntime, request: FastifyRequest): Request {
  const { cookie } = request.headers
  const origin = new URL(consoleUrl).origin
  const url = new URL(request.url, consoleUrl)
  const headers = new Headers({ origin, ...(cookie === undefined ? {} : { cookie }) })
  if (request.method !== 'POST') return new Request(url, { headers })
  headers.set('content-type', 'application/json')
  const { createSession: _, ...body } = (request.body ?? {}) as Record<string, unknown>
  return new Request(url, { method: 'POST', headers, body: JSON.stringify(body) })
}

const CODES: Readonly<Record<number, ApiErrorCode>> = {
  400: 'invalid_request',
  401: 'unauthenticated',
  403: 'forbidden',
}

async function sendJson(
  reply: FastifyReply,
  answer: Response,
  shown: (value: unknown) => unknown,
): Promise<FastifyReply> {
  const value: unknown = await answer.json().catch(() => null)
  if (!answer.ok) {
    const { message } = (value ?? {}) as { readonly message?: unknown }
    throw new ApiError(
      CODES[answer.status] ?? 'internal_error',
      typeof message === 'string' && answer.status < 500 ? `${message.replace(/\.$/, '')}.` : undefined,
    )
  }
  const cookies = answer.headers.getSetCookie()
  if (cookies.length > 0) reply.header('Set-Cookie', cookies)
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(shown(value)))
}

async function browserSession(
  runtime: ControlRuntime,
  request: FastifyRequest,
): Promise<PersonPrincipal | null> {
  const token = sessionTokenOf(request.headers.cookie, runtime.consoleUrl)
  return token === null ? null : principalOfCookie(runtime, token)
}

async function endSessionBefore(
  runtime: ControlRuntime,
  before: PersonPrincipal | null,
  { requestId, nowMs }: RequestFacts,
): Promise<void> {
  if (before === null || before.sessionId === null) return
  const { userId, sessionId: id } = before
  await runtime.db.run(endSession, { userId, id, origin: { actor: `person:${userId}`, requestId, nowMs } })
}
