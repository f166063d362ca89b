import type { Answer, BlobBody } from './answer.ts'
import { ClientGone } from './errors.ts'
import { bodyLength, type Exchange, expectsContinue, isGone } from './exchange.ts'
import { COMMON_HEADERS } from './headers.ts'
import { MAX_DRAIN_BYTES, MAX_DRAIN_MS, MIN_PROGRESS_BYTES } from './limits.ts'

const DRAIN_CHECK_MS = 250
/** Bodies up to this size are copied into one write with their headers. */
const ONE_WRITE_BYTES = 16 * 1024

/**
 * Writes an answer. Resolves when its last byte was handed over; rejects when the blob cannot be read or the client
 * has gone, and then the connection is cut, so that a short body never looks whole.
 */
export async function send(exchange: Exchange, answer: Answer): Promise<void> {
  const { req, res } = exchange
  const { body } = answer
  if (isGone(exchange)) {
    if (body !== null && 'source' in body) await body.source.close()
    throw new ClientGone()
  }
  const isStream = body !== null && 'source' in body
  leaveRequestBody(exchange)
  res.writeHead(answer.status, {
    ...COMMON_HEADERS,
    'X-Request-Id': exchange.requestId,
    ...lengthHeader(answer),
    ...answer.headers,
  } as Record<string, string | number | string[]>)
  if (isStream) await sendBlob(exchange, body)
  else if (body === null || req.method === 'HEAD') res.end()
  else if (body.byteLength > ONE_WRITE_BYTES) res.end(body)
  // As a string of bytes it goes out in one write with the headers, which is most of the cost of a small answer.
  else res.end(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1'), 'latin1')
}

function lengthHeader({ status, body }: Answer): Record<string, number> {
  if (status === 204 || status === 304) return {}
  if (body === null) return { 'Content-Length': 0 }
  if ('source' in body) return { 'Content-Length': body.range.end - body.range.start + 1 }
  return { 'Content-Length': body.byteLength }
}

async function sendBlob(exchange: Exchange, { source, range }: BlobBody): Promise<void> {
  const { res, metrics } = exchange
  const abort = new AbortController()
  const watch = watchProgress(exchange)
  const onClose = () => {
    if (!res.writableFinished) abort.abort(new ClientGone())
  }
  res.once('close', onClose)
  const sink = {
    write: (chunk: Uint8Array) =>
      new Promise<void>((resolve, reject) => {
        watch.sent(chunk.byteLength)
        res.write(chunk, (error) => {
          watch.left()
          if (error) reject(new ClientGone())
          else resolve()
        })
      }),
  }
  metrics.activeTransfers.inc({ direction: 'out' })
  try {
    await source.pump(sink, range, abort.signal)
    res.end()
    metrics.blobBytes.inc({ direction: 'out' }, range.end - range.start + 1)
  } catch (error) {
    res.destroy()
    throw abort.signal.aborted ? abort.signal.reason : error
  } finally {
    res.off('close', onClose)
    watch.stop()
    metrics.activeTransfers.dec({ direction: 'out' })
    await source.close()
  }
}

/**
 * Cuts a client that takes its bytes too slowly: nothing at all for a window, or a chunk at less than the least rate.
 * Node's socket time-out sees every byte that leaves, the deadline of a chunk sees a trickle.
 */
function watchProgress({ res, req, progressWindowMs }: Exchange) {
  const { socket } = req
  let deadline = Number.POSITIVE_INFINITY
  const cut = () => res.destroy()
  const timer = setInterval(() => {
    if (performance.now() > deadline) cut()
  }, progressWindowMs)
  timer.unref()
  socket.setTimeout(progressWindowMs)
  socket.on('timeout', cut)
  return {
    sent(sizeBytes: number) {
      deadline = performance.now() + progressWindowMs * (1 + sizeBytes / MIN_PROGRESS_BYTES)
    },
    left() {
      deadline = Number.POSITIVE_INFINITY
    },
    stop() {
      clearInterval(timer)
      socket.off('timeout', cut)
      socket.setTimeout(0)
    },
  }
}

/**
 * Deals with a body that nobody read to its end. What is on its way already is read and dropped, up to limits in bytes
 * and time: closing at once would make the kernel reset the connection, and the client would lose the answer. A body
 * that was not even asked for (`Expect: 100-continue`) never comes, so then the connection ends with the answer.
 */
function leaveRequestBody({ req, res, progressWindowMs }: Exchange): void {
  if (req.complete || bodyLength(req) === 0) return
  if (expectsContinue(req) && !req.readableDidRead) {
    res.setHeader('Connection', 'close')
    return
  }
  res.once('finish', () => {
    if (req.complete) return
    const { socket } = req
    const startBytes = socket.bytesRead
    const untilMs = performance.now() + Math.min(MAX_DRAIN_MS, progressWindowMs)
    req.removeAllListeners('data')
    req.resume()
    const timer = setInterval(() => {
      const isOver = socket.bytesRead - startBytes > MAX_DRAIN_BYTES || performance.now() > untilMs
      if (isOver && !req.complete) socket.destroy()
      if (isOver || req.complete || socket.destroyed) clearInterval(timer)
    }, DRAIN_CHECK_MS)
    timer.unref()
  })
}
