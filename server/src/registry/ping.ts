import { type Answer, jsonAnswer } from './answer.ts'
import { AuthenticationRequired } from './challenge.ts'
import { type Exchange, header } from './exchange.ts'
import { authenticate } from './grant.ts'
import { NO_STORE } from './headers.ts'
import { withKeyExpiry } from './key-expiry.ts'
import type { RegionRuntime } from './runtime.ts'

/**
 * `GET /v2/`: tells clients how to authenticate, and whether they have. Without any credential it is always 401, or
 * clients would never ask for a token; the token of an anonymous client is a credential here.
 */
export async function answerPing(runtime: RegionRuntime, exchange: Exchange): Promise<Answer> {
  if (header(exchange.req, 'authorization') === undefined) throw new AuthenticationRequired(null, null)
  const principal = await authenticate(runtime, exchange, null)
  if (principal.kind === 'key' && principal.expiredForUploadsOnly) {
    throw new AuthenticationRequired(null, 'invalid_token', 'the token has expired')
  }
  return withKeyExpiry(jsonAnswer(200, {}, NO_STORE), principal, runtime.clock.nowMs())
}
