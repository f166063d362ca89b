import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { loadPolledDevice } from '../../metastore/queries/device-code.ts'
import type { ControlRuntime } from '../runtime.ts'
import { asAuthChange } from './auth-change.ts'
import type { People } from './people.ts'
import { requestFacts } from './request-facts.ts'
import { tokenHmac } from './token-hmac.ts'

/*
 * The device's side of the device flow: RFC 8628 sections 3.1, 3.2, 3.4 and 3.5, with the RFC's own errors.
 */

const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:device_code'
const MAX_PARAMETER_LENGTH = 256

/** `POST /api/auth/device/code` and `/api/auth/device/token`. */
export function registerDeviceRoutes(scope: FastifyInstance, runtime: ControlRuntime, people: People): void {
  scope.post('/api/auth/device/code', { config: { route: 'device_code' } }, async (request, reply) => {
    const facts = requestFacts(runtime, request)
    await people.deviceStarts.spend(facts.address)
    const body = { client_id: parameter(request, 'client_id') }
    const auth = await people.auth()
    const change = { ...facts, method: 'device' as const, confirmedAt: null, userId: null }
    const answer = await asAuthChange(change, () => auth.api.deviceCode({ body, asResponse: true }))
    await people.sweep()
    return pass(reply, answer)
  })
  scope.post('/api/auth/device/token', { config: { route: 'device_token' } }, async (request, reply) => {
    const deviceCode = parameter(request, 'device_code')
    if (parameter(request, 'grant_type') !== GRANT_TYPE) {
      return reply
        .code(400)
        .send({ error: 'unsupported_grant_type', error_description: `Only ${GRANT_TYPE}.` })
    }
    const facts = requestFacts(runtime, request)
    const hmac = tokenHmac(runtime.people.tokenKey, deviceCode)
    const asked = await loadPolledDevice(runtime.db.reader, hmac)
    const change = {
      ...facts,
      method: 'device' as const,
      // The session counts as confirmed from when the person approved it.
      confirmedAt: asked?.confirmed_at ?? null,
      userId: asked?.user_id ?? null,
    }
    const body = {
      grant_type: GRANT_TYPE,
      device_code: deviceCode,
      client_id: parameter(request, 'client_id'),
    } as const
    const auth = await people.auth()
    return pass(reply, await asAuthChange(change, () => auth.api.deviceToken({ body, asResponse: true })))
  })
}

/** A parameter as text; what is missing, no text or too long is empty, which no check lets through. */
function parameter(request: FastifyRequest, name: string): string {
  const value = ((request.body ?? {}) as Readonly<Record<string, unknown>>)[name]
  return typeof value === 'string' && value.length <= MAX_PARAMETER_LENGTH ? value : ''
}

async function pass(reply: FastifyReply, answer: Response): Promise<FastifyReply> {
  const text = await answer.text()
  return reply.code(answer.status).type('application/json; charset=utf-8').send(text)
}
