import type { Denial } from './denial.ts'
import type { Principal } from './principal.ts'

/**
 * Who is asking, or why that is not accepted. `message` is safe to send to the client: it never says more about a
 * key than whoever showed the right secret may know.
 *
 * `invalid`, `expired` and `revoked` are answered 401, `rate_limited` 429, `unavailable` 503. `denial` is for whoever may
 * ask afterwards why, and never sent.
 */
export type Authentication =
  | { readonly ok: true; readonly principal: Principal }
  | {
      readonly ok: false
      readonly reason: 'invalid' | 'expired' | 'revoked'
      readonly message: string
      readonly denial: Denial
    }
  | {
      readonly ok: false
      readonly reason: 'rate_limited'
      readonly retryAfterSeconds: number
      readonly denial: Denial
    }
  | { readonly ok: false; readonly reason: 'unavailable' }
