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

/** The quota allows it, but what was deleted lately is still on the disk, and is as much as the quota again. */
export function trashFull({ trashedBytes, quotaBytes }: ProjectUsage, neededBytes: number): OciError {
  const message =
    `the project's trash is full: ${formatBytes(trashedBytes)} that were deleted are still kept, and together with the ` +
    `trash a project may take twice its quota of ${formatBytes(quotaBytes ?? 0)}. The oldest of it is being removed: ` +
    'try again in some minutes, or empty the trash (berth gc purge)'
  return new OciError('DENIED', message, {
    detail: { limit: 'trash', quotaBytes, trashedBytes, neededBytes },
  })
}

/** Copies from a connected registry have come to this path since the request was allowed. */
export function reservedPath({ path }: RepositoryTarget): OciError {
  const [slug] = path.split('/', 1)
  return new OciError(
    'DENIED',
    `"${slug}/" is reserved for what is pulled through a connected registry: push to another repository`,
    { detail: { registry: slug } },
  )
}

/** The project's rules say that this tag never moves. */
export function immutableTag({ tag, digest }: { readonly tag: string; readonly digest?: string }): OciError {
  const message =
    digest === undefined
      ? `the tag "${tag}" is immutable by a rule of the project: it cannot be deleted`
      : `the tag "${tag}" is immutable by a rule of the project and stays at ${digest}: push another tag`
  return new OciError('DENIED', message, {
    detail: { rule: 'immutable_tag', tag, ...(digest === undefined ? {} : { digest }) },
  })
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
