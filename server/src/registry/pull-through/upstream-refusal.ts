import { OciError } from '@berth/oci/errors'
import type { ConnectedRegistry } from '../../access/connected-registry.ts'
import { UpstreamError } from '../../upstream/upstream-error.ts'
import type { UpstreamReason } from '../../upstream/upstream.ts'
import { VaultError } from '../../vault/aead.ts'
import { warningHeader } from '../headers.ts'
import { MAX_WARNING_LENGTH, RETRY_AFTER_SECONDS } from './limits.ts'

/** Faults that pass by themselves: clients may try again. */
const PASSING: ReadonlySet<UpstreamReason> = new Set(['connect', 'timeout', 'unavailable'])

/**
 * What a client is told when the other registry could not be used and there is no copy: which registry, why, and what
 * to do. A wrong login is 403 and not 401, which clients would take for their own. Throws on what it does not know.
 */
export function upstreamRefusal(error: unknown, registry: ConnectedRegistry): OciError {
  if (error instanceof VaultError) {
    return new OciError(
      'DENIED',
      `the stored login of the registry "${registry.name}" (${registry.host}) cannot be used: enter it again`,
      { detail: { registry: registry.slug, reason: 'credentials' }, cause: error },
    )
  }
  if (!(error instanceof UpstreamError)) throw error
  const { reason, nextStep } = error
  const options = { detail: { registry: registry.slug, reason, nextStep }, cause: error }
  if (reason === 'credentials') {
    const message = `${registry.host} refused the stored login of the registry "${registry.name}"; ask an admin of the project to update it`
    return new OciError('DENIED', message, options)
  }
  if (reason === 'rights') {
    const message = `${registry.host} does not let the stored login of the registry "${registry.name}" read this, or there is no such repository`
    return new OciError('DENIED', message, options)
  }
  const headers = retryAfter(error.retryAfterSeconds)
  const message = about(registry, error)
  if (reason === 'rate_limit') return new OciError('TOOMANYREQUESTS', message, { ...options, headers })
  return PASSING.has(reason)
    ? new OciError('UNKNOWN', message, { ...options, status: 503, headers })
    : new OciError('UNKNOWN', message, { ...options, status: 502 })
}

/** Whether a copy is served instead. Not where the other registry decided that this login may not (any more). */
export function mayServeCopy(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && error.reason !== 'credentials' && error.reason !== 'rights'
}

/** The `Warning` of a copy that could not be compared. `ageMs`: since it last was. */
export function copyWarning(
  error: UpstreamError,
  registry: ConnectedRegistry,
  ageMs: number,
): { Warning: string } {
  return plainWarning(
    `${about(registry, error)}; this is the copy that was last compared with it ${formatAge(ageMs)} ago`,
  )
}

/** A `Warning` with a text that may be another's: printable ASCII without quotes or backslashes, not too long. */
export function plainWarning(text: string): { Warning: string } {
  const plain = text.replaceAll(/["\\]/g, "'").replaceAll(/[^\x20-\x7e]/g, '?')
  return warningHeader(plain.slice(0, MAX_WARNING_LENGTH))
}

function about({ name }: ConnectedRegistry, { message }: UpstreamError): string {
  return `the connected registry "${name}" could not be used: ${message}`
}

function retryAfter(seconds: number | null): { 'Retry-After': string } {
  return { 'Retry-After': String(seconds ?? RETRY_AFTER_SECONDS) }
}

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
] as const

function formatAge(ageMs: number): string {
  for (const [unit, unitMs] of UNITS) {
    const count = Math.floor(ageMs / unitMs)
    if (count >= 1) return `${count} ${unit}${count === 1 ? '' : 's'}`
  }
  return 'a moment'
}
