import { OciError } from '@berth/oci/errors'
import type { Denial } from '../access/denial.ts'
import type { Principal } from '../access/principal.ts'
import { AuthenticationRequired } from './challenge.ts'
import type { Exchange } from './exchange.ts'
import type { RegistryRequest } from './request.ts'
import type { RegionRuntime } from './runtime.ts'

/** Why an error was raised, beside the error: what is sent of an error must not depend on it. */
const denials = new WeakMap<Error, Denial>()

/** Remembers which rule raised an error, and answers the error. */
export function explained<Raised extends OciError>(error: Raised, denial: Denial): Raised {
  denials.set(error, denial)
  return error
}

const REFUSALS: ReadonlySet<number> = new Set([401, 403, 404, 405, 429])
/** Reads of content by name: that there is none is worth an explanation. Clients look for blobs all the time. */
const LOOKUPS: readonly string[] = ['manifest-get', 'tag-list', 'referrers']

/** Notes a refusal, so that it can be explained. After the answer, and never for a request that was served. */
export function noteRefusal(
  runtime: RegionRuntime,
  exchange: Exchange,
  request: RegistryRequest | null,
  error: unknown,
): void {
  if (!(error instanceof OciError) || !REFUSALS.has(error.status)) return
  const denial = denials.get(error) ?? derivedDenial(exchange.caller.principal, request, error)
  if (denial === null) return
  const { requestId, clientAddress, req } = exchange
  runtime.refusals.note({
    requestId,
    at: runtime.clock.nowMs(),
    actor: denial.actor ?? 'anonymous',
    address: clientAddress,
    operation: request?.kind ?? `${req.method ?? ''} (no such route)`,
    resource: resourceOf(request) ?? pathOf(req.url),
    status: error.status,
    code: error.code,
    denial,
  })
}

/** The rule behind an error that was raised where no decision of access was made. */
function derivedDenial(
  principal: Principal | null,
  request: RegistryRequest | null,
  error: OciError,
): Denial | null {
  const who =
    principal?.kind === 'key'
      ? { projectId: principal.projectId, actor: principal.keyId }
      : { projectId: null }
  const { code, message, status } = error
  if (status === 405) return { rule: 'method', detail: {}, ...who }
  if (status === 401 && error instanceof AuthenticationRequired) {
    // The first request of every client comes without a credential: that is how it learns where to get one.
    if (error.error === null) return null
    const rule = principal?.kind === 'key' ? 'credential_revoked' : 'credential_invalid'
    return { rule, detail: { message }, ...who }
  }
  if (code === 'DENIED') {
    const limit = (error.detail as { readonly limit?: unknown } | null)?.limit
    const rule = limit === 'quota' ? 'quota' : 'policy'
    return { rule, detail: { message, ...(typeof limit === 'string' ? { limit } : {}) }, ...who }
  }
  if (code === 'BLOB_UPLOAD_UNKNOWN') return { rule: 'upload_unknown', detail: {}, ...who }
  const isLookup = request !== null && LOOKUPS.includes(request.kind)
  return status === 404 && isLookup ? { rule: 'content_unknown', detail: { message }, ...who } : null
}

function resourceOf(request: RegistryRequest | null): string | null {
  if (request === null) return null
  return 'repository' in request ? request.repository.name : ''
}

/** Without the query, which may hold anything. */
function pathOf(url: string | undefined): string {
  return (url ?? '').split('?', 1)[0] ?? ''
}
