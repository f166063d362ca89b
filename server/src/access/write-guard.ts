/**
 * What a command checks again inside its own transaction, so that no write of a revoked key commits after the
 * revocation. Structured-cloneable. Commands take `WriteGuard | null`; null is the operator, who has no key.
 */
export interface WriteGuard {
  readonly keyId: string
  readonly secretVersion: number
}
