import { OciError } from '@berth/oci/errors'
import type { Action } from '../access/principal.ts'
import type { ProjectUsage } from '../metastore/queries/usage.ts'
import { AuthenticationRequired } from './challenge.ts'
import { repositoryScope } from './grant.ts'
import { warningHeader } from './headers.ts'
import { QUOTA_WARNING_SHARE } from './limits.ts'
import type { RepositoryTarget } from './request.ts'

/** The key was revoked between the request's start and its write. */
export function revoked(repository: RepositoryTarget, action: Action): OciError {
  return new AuthenticationRequired(
    repositoryScope(repository, action),
    'invalid_token',
    'this credential is not valid any more',
  )
}

/** The project's quota does not allow `neededBytes` more. Says which limit, and the numbers. */
export function overQuota({ usedBytes, quotaBytes }: ProjectUsage, neededBytes: number): OciError {
  const message =
    `the project's storage quota of ${formatBytes(quotaBytes ?? 0)} does not allow this: ` +
    `${formatBytes(usedBytes)} are in use, ${formatBytes(neededBytes)} more are needed ` +
    '(uploads that are under way count as well)'
  return new OciError('DENIED', message, { detail: { limit: 'quota', quotaBytes, usedBytes, neededBytes } })
}

/** Headers of an acknowledged push when the quota is nearly used up. */
export function quotaWarning({ usedBytes, quotaBytes }: ProjectUsage): Record<string, string> {
  if (quotaBytes === null || usedBytes < quotaBytes * QUOTA_WARNING_SHARE) return {}
  return warningHeader(
    `the project uses ${formatBytes(usedBytes)} of its storage quota of ${formatBytes(quotaBytes)}`,
  )
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** A size for people: `512 bytes`, `1.5 GiB`. */
export function formatBytes(sizeBytes: number): string {
  let value = sizeBytes
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${UNITS[unit]}`
}
