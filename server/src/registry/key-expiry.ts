import { KEY_EXPIRY_WARNING_MS } from '../access/limits.ts'
import type { Principal } from '../access/principal.ts'
import type { Answer } from './answer.ts'
import { warningHeader } from './headers.ts'

/**
 * The answer, with a warning (`Warning: 299`, distribution spec, "Warnings") when the API key in use expires soon:
 * docker and the like show it to whoever pushes, long before the first push that fails. Another warning stays.
 */
export function withKeyExpiry(answer: Answer, principal: Principal, nowMs: number): Answer {
  if (principal.kind === 'anonymous' || principal.keyExpiresAt === null) return answer
  if (principal.keyExpiresAt - nowMs > KEY_EXPIRY_WARNING_MS) return answer
  const { Warning: own } = warningHeader(expiryText(principal.keyId, principal.keyExpiresAt))
  const { Warning: before } = answer.headers
  const warnings = before === undefined ? own : [...(Array.isArray(before) ? before : [String(before)]), own]
  return { ...answer, headers: { ...answer.headers, Warning: warnings } }
}

function expiryText(keyId: string, expiresAt: number): string {
  const at = new Date(expiresAt).toISOString().replace(/\.\d+Z$/, 'Z')
  return `API key ${keyId} expires at ${at}; make a new one and log in with it`
}
