import { blobStoreLimits } from '../limits.ts'

const CLASSES_BYTES: readonly number[] = blobStoreLimits.readBufferClassesBytes
const LARGEST = CLASSES_BYTES.length - 1

/**
 * How much a pull reads at once. It starts with the largest buffer; a client that takes long over one gets the next
 * smaller size and no read-ahead, so that it holds little memory, and grows again when it is fast.
 */
export class ChunkSizing {
  #level = LARGEST

  /** Whether the next buffer may be filled while one is being sent. */
  get readsAhead(): boolean {
    return this.#level === LARGEST
  }

  /** Bytes to ask the pool for, when `leftBytes` are still to be read. */
  next(leftBytes: number): number {
    return Math.min(leftBytes, CLASSES_BYTES[this.#level] ?? leftBytes)
  }

  /** Notes how long the client took over the last buffer. */
  observe(writeMs: number): void {
    if (writeMs > blobStoreLimits.slowSinkWriteMs) {
      this.#level = Math.max(0, this.#level - 1)
    } else if (writeMs < blobStoreLimits.fastSinkWriteMs) {
      this.#level = Math.min(LARGEST, this.#level + 1)
    }
  }
}
