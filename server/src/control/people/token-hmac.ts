import { createHmac, type KeyObject } from 'node:crypto'

/** What the database holds instead of a session's token or a device's code: HMAC-SHA-256, as text. */
export function tokenHmac(key: KeyObject, token: string): string {
  return createHmac('sha256', key).update(token).digest('base64url')
}
