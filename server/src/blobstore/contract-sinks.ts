import assert from 'node:assert/strict'
import type { ByteSink } from './blobstore.ts'

/** Takes everything at once and keeps nothing. */
export const discard: ByteSink = { async write() {} }

/** A sink whose n-th write never ends. */
export function stallingSink(nth: number): { sink: ByteSink; reached: Promise<void> } {
  const reached = Promise.withResolvers<void>()
  let writes = 0
  const sink: ByteSink = {
    write() {
      writes++
      if (writes < nth) {
        return Promise.resolve()
      }
      reached.resolve()
      return new Promise(() => {})
    },
  }
  return { sink, reached: reached.promise }
}

/** Holds each chunk for some turns of the event loop, and compares it before and after with what it must be. */
export function slowCheckingSink(expected: Buffer, turns: number) {
  let writing: Promise<void> = Promise.resolve()
  const sink = {
    positionBytes: 0,
    writesBegun: 0,
    idle: () => writing,
    write(chunk: Uint8Array): Promise<void> {
      sink.writesBegun++
      writing = (async () => {
        const part = expected.subarray(sink.positionBytes, sink.positionBytes + chunk.byteLength)
        assertSame(chunk, part)
        for (let turn = 0; turn < turns; turn++) {
          await nextTurn()
        }
        assertSame(chunk, part)
        sink.positionBytes += chunk.byteLength
      })()
      return writing
    },
  }
  return sink
}

/** Compares without printing megabytes. */
export function assertSame(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(actual.byteLength, expected.byteLength)
  if (Buffer.compare(actual, expected) !== 0) {
    const at = actual.findIndex((byte, index) => byte !== expected[index])
    assert.fail(`bytes differ from position ${at} on`)
  }
}

/** Waits for a condition that follows by itself, turn by turn of the event loop. */
export async function eventually(holds: () => boolean, otherwise: string): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!holds()) {
    assert.ok(Date.now() < deadline, otherwise)
    await nextTurn()
  }
}

/** Resolves in the next turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
