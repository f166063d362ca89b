import type { ApiError } from '@berth/api/errors'
import type { FastifyRequest } from 'fastify'
import type { Denial } from '../../access/denial.ts'
import { addressOf } from '../authenticate.ts'
import { actorOf, type ConsolePrincipal } from '../principal.ts'
import type { ControlRuntime } from '../runtime.ts'

/** Why an error was raised, beside the error: what is sent of an error must not depend on it. */
const denials = new WeakMap<ApiError, Denial>()

/** Remembers which rule raised an error, and answers the error. */
export function explained(error: ApiError, denial: Denial): ApiError {
  denials.set(error, denial)
  return error
}

/** Notes a refused call, so that it can be explained. Anything but a refusal is left out. */
export function noteRefusal(
  runtime: ControlRuntime,
  request: FastifyRequest & { readonly principal: ConsolePrincipal | null },
  error: ApiError,
  operation: string,
): void {
  const denial = denials.get(error) ?? derivedDenial(request, error)
  if (denial === null) return
  const { principal } = request
  runtime.refusals.note({
    requestId: request.id,
    at: runtime.clock.nowMs(),
    actor: principal === null ? 'anonymous' : actorOf(principal),
    address: addressOf(runtime, request),
    operation,
    // Without the query, which may hold anything.
    resource: `${request.method} ${request.url.split('?', 1)[0] ?? ''}`,
    status: error.status,
    code: error.code,
    denial,
  })
}

/** The rule behind an error that was raised before the caller was known. */
function derivedDenial({ headers }: FastifyRequest, { status, detail }: ApiError): Denial | null {
  // Without a credential nobody was refused anything: they were told how to sign in.
  if (headers.authorization === undefined && headers.cookie === undefined) return null
  if (status === 401) return { rule: 'credential_invalid', detail: { message: detail }, projectId: null }
  if (status === 429) return { rule: 'too_many_failures', detail: { message: detail }, projectId: null }
  return null
}
