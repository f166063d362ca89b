import { MAX_RANGE_HEADER_LENGTH } from './limits.ts'

/** Byte positions, both inclusive, as in RFC 9110. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** A chunk's place in an upload. `sizeBytes` is the complete length when the client gave it. */
export interface ContentRange extends ByteRange {
  readonly sizeBytes: number | null
}

const RANGE = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i
const CONTENT_RANGE = /^(?:(\d+)-(\d+)|bytes (\d+)-(\d+)\/(\d+|\*))$/i

/**
 * Reads a Range header for content of `sizeBytes` (RFC 9110 sections 14.1.2 and 14.2). The end is clipped to the
 * content. Null means to ignore the header and send everything: another unit, several ranges, not the grammar,
 * or empty content, for which no range can be written. 'unsatisfiable' means 416; that includes a last position
 * before the first, which the RFC lets a server refuse.
 */
export function parseRange(header: string, sizeBytes: number): ByteRange | 'unsatisfiable' | null {
  if (header.length > MAX_RANGE_HEADER_LENGTH || sizeBytes === 0) return null
  const match = RANGE.exec(header)
  if (match === null) return null
  const [, first = '', last = ''] = match
  if (first === '') return last === '' ? null : suffixRange(Number(last), sizeBytes)
  const start = Number(first)
  const end = last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1)
  return start >= sizeBytes || end < start ? 'unsatisfiable' : { start, end }
}

function suffixRange(lengthBytes: number, sizeBytes: number): ByteRange | 'unsatisfiable' {
  if (lengthBytes === 0) return 'unsatisfiable'
  return { start: Math.max(0, sizeBytes - lengthBytes), end: sizeBytes - 1 }
}

/**
 * Reads the Content-Range header of a chunk: the distribution spec's `a-b`, or RFC 9110's `bytes a-b/size` and
 * `bytes a-b/*`. Null when malformed, reversed, beyond its own size or beyond 2^53-1.
 */
export function parseContentRange(header: string): ContentRange | null {
  if (header.length > MAX_RANGE_HEADER_LENGTH) return null
  const match = CONTENT_RANGE.exec(header)
  if (match === null) return null
  const start = Number(match[1] ?? match[3])
  const end = Number(match[2] ?? match[4])
  const sizeBytes = match[5] === undefined || match[5] === '*' ? null : Number(match[5])
  if (!Number.isSafeInteger(end) || end < start) return null
  if (sizeBytes !== null && (!Number.isSafeInteger(sizeBytes) || end >= sizeBytes)) return null
  return { start, end, sizeBytes }
}

/** Content-Range of a 206 answer. */
export function formatContentRange(range: ByteRange, sizeBytes: number): string {
  return `bytes ${range.start}-${range.end}/${sizeBytes}`
}

/** Content-Range of a 416 answer to a Range request. */
export function formatUnsatisfiedRange(sizeBytes: number): string {
  return `bytes */${sizeBytes}`
}

/**
 * Range of an upload that holds `offsetBytes` bytes, as in the distribution spec. The header cannot say "none":
 * `0-0` is what registries answer before the first byte.
 */
export function formatUploadRange(offsetBytes: number): string {
  return `0-${Math.max(0, offsetBytes - 1)}`
}
