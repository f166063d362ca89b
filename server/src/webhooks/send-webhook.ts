import type { Outgoing, OutgoingResponse } from '../outgoing/outgoing.ts'
import { OutgoingError } from '../outgoing/outgoing-error.ts'
import { CLOUD_EVENT_MEDIA_TYPE } from './cloud-event.ts'
import { ATTEMPT_TIMEOUT_MS, MAX_RESPONSE_BYTES } from './limits.ts'
import { parseRetryAfterMs } from './retry.ts'
import { signedHeaders } from './signature.ts'

export interface WebhookMessage {
  readonly id: string
  readonly url: string
  readonly body: string
  /** The newest first. */
  readonly secrets: readonly string[]
  readonly projectId: string
}

/** How an attempt went. */
export interface SendOutcome {
  /** `gone`: the receiver says that it is not there any more (410). */
  readonly result: 'delivered' | 'refused' | 'gone'
  /** Null: there was no answer. */
  readonly status: number | null
  /** For people; null when it was delivered. */
  readonly error: string | null
  /** The beginning of the answer's body, made safe to show. */
  readonly response: string | null
  readonly durationMs: number
  readonly retryAfterMs: number | null
}

/** Sends a message once. A failure of whatever kind is an outcome; only an abort is thrown. */
export async function sendWebhook(
  outgoing: Outgoing,
  message: WebhookMessage,
  { nowMs, signal }: { readonly nowMs: number; readonly signal: AbortSignal },
): Promise<SendOutcome> {
  const startedAt = performance.now()
  const took = () => Math.round(performance.now() - startedAt)
  try {
    const answer = await outgoing.request(message.url, {
      method: 'POST',
      headers: {
        'content-type': CLOUD_EVENT_MEDIA_TYPE,
        ...signedHeaders(message.secrets, { id: message.id, timestampMs: nowMs, body: message.body }),
      },
      body: message.body,
      timeoutMs: ATTEMPT_TIMEOUT_MS,
      signal,
      account: message.projectId,
    })
    const response = await readBeginning(answer)
    const { status } = answer
    const retryAfterMs = parseRetryAfterMs(answer.headers['retry-after'], nowMs)
    return { ...verdictOf(status), status, response, durationMs: took(), retryAfterMs }
  } catch (error) {
    if (signal.aborted) throw error
    if (!(error instanceof OutgoingError)) throw error
    const nothing = { status: null, response: null, retryAfterMs: null }
    return { result: 'refused', error: error.message, durationMs: took(), ...nothing }
  }
}

function verdictOf(status: number): Pick<SendOutcome, 'result' | 'error'> {
  if (status >= 200 && status < 300) return { result: 'delivered', error: null }
  if (status === 410)
    return { result: 'gone', error: 'The receiver answered 410: it does not want events any more.' }
  if (status >= 300 && status < 400) {
    return { result: 'refused', error: `The receiver answered ${status}: redirects are not followed.` }
  }
  return { result: 'refused', error: `The receiver answered ${status}; 2xx is expected.` }
}

/** Reads no more than is kept. That the rest is not there, or comes too slowly, changes nothing. */
async function readBeginning({ body }: OutgoingResponse): Promise<string> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  try {
    for await (const chunk of body) {
      chunks.push(chunk as Buffer)
      sizeBytes += (chunk as Buffer).byteLength
      if (sizeBytes >= MAX_RESPONSE_BYTES) break
    }
  } catch {
    // The status has come: the body is only for people to read.
  } finally {
    body.destroy()
  }
  const text = Buffer.concat(chunks).subarray(0, MAX_RESPONSE_BYTES).toString('utf8')
  return text.replaceAll(/[^\P{C}\n\t]/gu, '\uFFFD')
}
