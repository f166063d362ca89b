/**
 * Bytes that come in chunks of any size, in one piece. A single chunk is kept as it is; more are copied into a buffer
 * that doubles: kept as they came, chunks of one byte each would take hundreds of times their size.
 */
export interface GatheredBytes {
  readonly sizeBytes: number
  /** Takes a chunk, which it owns from then on. */
  append(chunk: Uint8Array): void
  /** All of them. Valid until the next chunk. */
  bytes(): Buffer
}

const FIRST_CAPACITY_BYTES = 4 * 1024

/** Starts without a byte, and takes no memory for bytes that have not come. */
export function gatherBytes(): GatheredBytes {
  let only: Uint8Array | null = null
  let buffer: Buffer | null = null
  let sizeBytes = 0

  function copy(chunk: Uint8Array): void {
    const neededBytes = sizeBytes + chunk.byteLength
    if (buffer === null || neededBytes > buffer.byteLength) {
      const capacityBytes = Math.max(neededBytes, 2 * (buffer?.byteLength ?? 0), FIRST_CAPACITY_BYTES)
      const larger = Buffer.allocUnsafeSlow(capacityBytes)
      buffer?.copy(larger, 0, 0, sizeBytes)
      buffer = larger
    }
    buffer.set(chunk, sizeBytes)
    sizeBytes = neededBytes
  }

  return {
    get sizeBytes() {
      return sizeBytes
    },
    append(chunk) {
      if (chunk.byteLength === 0) return
      if (sizeBytes === 0) {
        only = chunk
        sizeBytes = chunk.byteLength
        return
      }
      if (only !== null) {
        const first = only
        only = null
        sizeBytes = 0
        copy(first)
      }
      copy(chunk)
    },
    bytes() {
      if (only !== null) return Buffer.from(only.buffer, only.byteOffset, only.byteLength)
      if (buffer === null) return Buffer.alloc(0)
      // Of its own size: what keeps or sends a view keeps or sends all that is behind it.
      if (sizeBytes < buffer.byteLength) buffer = Buffer.from(buffer.buffer.slice(0, sizeBytes))
      return buffer
    },
  }
}
