import type { WriteGuard } from '../metastore/queries/access-guard.ts'
import type { Principal } from './principal.ts'

export type { WriteGuard } from '../metastore/queries/access-guard.ts'

/** What commands check again inside their transaction, for this principal. Null for a principal without a key. */
export function writeGuardOf(principal: Principal): WriteGuard | null {
  if (principal.kind === 'anonymous') return null
  return { keyId: principal.keyId, secretVersion: principal.secretVersion }
}
