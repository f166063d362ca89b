import type { BlobSource, ByteRange } from '../blobstore/blobstore.ts'

/** Content that is streamed from the blob store. `send` closes the source. */
export interface BlobBody {
  readonly source: BlobSource
  readonly range: ByteRange
}

/** What a handler returns; `send` writes it. A body of bytes gets its Content-Length from there. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | number | readonly string[]>>
  /** Null: none. An answer to HEAD may carry a body, which is then not sent. */
  readonly body: Uint8Array | BlobBody | null
}

/** An answer without a body. */
export function emptyAnswer(
  status: number,
  headers: Readonly<Record<string, string | number | readonly string[]>>,
): Answer {
  return { status, headers, body: null }
}

/** A JSON answer. */
export function jsonAnswer(
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string | number | readonly string[]>> = {},
): Answer {
  return {
    status,
    headers: { 'Content-Type': 'application/json', ...headers },
    body: Buffer.from(JSON.stringify(value)),
  }
}
