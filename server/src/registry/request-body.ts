import { OciError } from '@berth/oci/errors'
import { ClientGone } from './errors.ts'
import { bodyLength, type Exchange, expectsContinue } from './exchange.ts'
import { gatherBytes } from './gathered-bytes.ts'
import { MIN_PROGRESS_BYTES } from './limits.ts'
import { noteReceived } from './receive-buffers.ts'

/** Takes a chunk, which it owns from then on. A promise means: wait before the next one. */
export type ChunkTaker = (chunk: Uint8Array) => Promise<void> | undefined

/**
 * Hands the request's body to `take`, chunk by chunk, and answers how many bytes came. Listeners instead of an async
 * iterator: leaving an iterator early destroys the connection, and with it the answer that says why.
 *
 * Rejects with what `take` threw, with `ClientGone` when the connection ends before the body, and with
 * UNSUPPORTED (408) when too few bytes come in a window in which we were ready for them.
 */
export function consumeBody(exchange: Exchange, take: ChunkTaker): Promise<number> {
  const { req, res, progressWindowMs } = exchange
  if (bodyLength(req) === 0) return Promise.resolve(0)
  if (expectsContinue(req)) res.writeContinue()
  return new Promise<number>((resolve, reject) => {
    let receivedBytes = 0
    let windowBytes = 0
    let wait: Promise<void> | null = null
    let hasEnded = false

    const timer = setInterval(checkProgress, progressWindowMs)
    timer.unref()
    req.on('data', onData)
    req.on('end', onEnd)
    req.on('close', onClose)
    if (req.destroyed) onClose()

    function onData(chunk: Buffer): void {
      noteReceived(chunk.byteLength)
      receivedBytes += chunk.byteLength
      windowBytes += chunk.byteLength
      let waiting: Promise<void> | undefined
      try {
        waiting = take(chunk)
      } catch (error) {
        fail(error)
        return
      }
      if (waiting === undefined) return
      req.pause()
      wait = waiting.then(goOn, fail)
    }

    function goOn(): void {
      wait = null
      windowBytes = MIN_PROGRESS_BYTES
      if (hasEnded) finish()
      else req.resume()
    }

    function onEnd(): void {
      hasEnded = true
      if (wait === null) finish()
    }

    function onClose(): void {
      if (!req.complete) fail(new ClientGone())
    }

    function checkProgress(): void {
      if (wait === null && windowBytes < MIN_PROGRESS_BYTES) {
        fail(new OciError('UNSUPPORTED', 'the body came too slowly', { status: 408 }))
      }
      windowBytes = 0
    }

    function finish(): void {
      cleanUp()
      resolve(receivedBytes)
    }

    function fail(error: unknown): void {
      cleanUp()
      req.pause()
      reject(error)
    }

    function cleanUp(): void {
      clearInterval(timer)
      req.off('data', onData)
      req.off('end', onEnd)
      req.off('close', onClose)
    }
  })
}

/**
 * Reads a whole body of at most `maxBytes` into memory. Throws what `tooLarge` makes as soon as it is known: from
 * Content-Length before the first byte, else while reading.
 */
export async function readBody(
  exchange: Exchange,
  maxBytes: number,
  tooLarge: () => OciError,
): Promise<Buffer> {
  const announcedBytes = bodyLength(exchange.req)
  if (announcedBytes !== null && announcedBytes > maxBytes) throw tooLarge()
  const gathered = gatherBytes()
  await consumeBody(exchange, (chunk) => {
    if (gathered.sizeBytes + chunk.byteLength > maxBytes) throw tooLarge()
    gathered.append(chunk)
    return undefined
  })
  return gathered.bytes()
}
