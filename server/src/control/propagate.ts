import { ApiError } from '@berth/api/errors'
import type { Propagation } from '@berth/api/projects'
import { UNAVAILABLE_RETRY_SECONDS } from './limits.ts'
import type { ControlRuntime } from './runtime.ts'

/**
 * Waits until a change of access is in force on every replica of every region, and says how far it came: for changes
 * that give something, where a region that is down only learns of it later.
 */
export async function propagate(runtime: ControlRuntime, seq: number): Promise<Propagation> {
  const startedAt = performance.now()
  const { replicas, pendingRegions } = await runtime.revocation.waitUntilApplied(seq)
  const tookMs = Math.round((performance.now() - startedAt) * 10) / 10
  if (pendingRegions.length > 0) {
    runtime.log.warn({ regions: pendingRegions, seq }, 'a change of access is not in force everywhere yet')
  }
  return { replicas, pendingRegions: [...pendingRegions], tookMs }
}

/**
 * The same for changes that take something away: only success means that it is taken away everywhere.
 * Raises `not_everywhere_yet`.
 */
export async function propagateEverywhere(runtime: ControlRuntime, seq: number): Promise<Propagation> {
  const propagation = await propagate(runtime, seq)
  const { pendingRegions } = propagation
  if (pendingRegions.length === 0) return propagation
  throw new ApiError(
    'not_everywhere_yet',
    `The change is committed, but cannot be confirmed in ${pendingRegions.join(', ')}. Repeat the call until it succeeds.`,
    { headers: { 'Retry-After': String(UNAVAILABLE_RETRY_SECONDS) } },
  )
}
