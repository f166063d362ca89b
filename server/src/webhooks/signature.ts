import { createHmac, randomBytes } from 'node:crypto'

/*
 * Signatures of the Standard Webhooks specification, version 1.0: symmetric, v1.
 */

const SECRET_PREFIX = 'whsec_'
const SECRET_BYTES = 32

/** A new signing secret, as receivers configure it. */
export function mintWebhookSecret(): string {
  return SECRET_PREFIX + randomBytes(SECRET_BYTES).toString('base64')
}

/**
 * The headers of one attempt. With several secrets there are several signatures, so that a receiver may hold either
 * during a rotation. `timestampMs` is when the attempt is made: receivers refuse old ones.
 */
export function signedHeaders(
  secrets: readonly string[],
  message: { readonly id: string; readonly timestampMs: number; readonly body: string },
): Record<string, string> {
  const timestamp = String(Math.floor(message.timestampMs / 1000))
  const content = `${message.id}.${timestamp}.${message.body}`
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64')
    return `v1,${createHmac('sha256', key).update(content).digest('base64')}`
  })
  return {
    'webhook-id': message.id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.join(' '),
  }
}
