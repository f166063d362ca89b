import type { IncomingMessage } from 'node:http'
import { ApiError } from '@berth/api/errors'
import { parseStrictJson } from '@berth/oci/strict-json'
import { BODY_TIMEOUT_MS, MAX_BODY_BYTES } from './limits.ts'

/**
 * Reads and parses a JSON body. Duplicate keys, invalid UTF-8 and the like are refused: whoever logs or forwards the
 * request must read the same as we do. An empty body is `undefined`.
 * Raises `invalid_json`, `body_too_large`, `request_timeout`.
 */
export async function readJsonBody(body: IncomingMessage): Promise<unknown> {
  const bytes = await readBytes(body, MAX_BODY_BYTES)
  if (bytes.byteLength === 0) return undefined
  const parsed = parseStrictJson(bytes)
  if (!parsed.ok) throw new ApiError('invalid_json', `The body is not acceptable JSON: ${parsed.reason}.`)
  return parsed.value
}

/** Reads a body of `maxBytes` at most. Raises `body_too_large`, `request_timeout`, `invalid_request`. */
export function readBytes(body: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const timer = setTimeout(() => fail(new ApiError('request_timeout')), BODY_TIMEOUT_MS)
    const fail = (error: Error) => {
      clearTimeout(timer)
      body.removeAllListeners('data')
      // What still arrives is dropped; the connection is closed after the answer.
      body.resume()
      reject(error)
    }
    body.on('data', (chunk: Buffer) => {
      size += chunk.byteLength
      if (size > maxBytes) fail(new ApiError('body_too_large'))
      else chunks.push(chunk)
    })
    body.once('end', () => {
      clearTimeout(timer)
      resolve(Buffer.concat(chunks, size))
    })
    body.once('error', (cause) => fail(new ApiError('invalid_request', 'The body broke off.', { cause })))
    body.once('close', () => {
      if (!body.readableEnded) fail(new ApiError('invalid_request', 'The body broke off.'))
    })
  })
}
