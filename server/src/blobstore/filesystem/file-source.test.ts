import assert from 'node:assert/strict'
import type { FileHandle } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { contentOf } from '../contract-transfers.ts'
import { blobStoreLimits } from '../limits.ts'
import { BufferPool } from './buffer-pool.ts'
import { FileSource } from './file-source.ts'

const MIB = 1024 * 1024
const content = contentOf(5 * MIB, 'source')
const whole = { start: 0, end: content.byteLength - 1 }
const never = new AbortController().signal

describe('file source', () => {
  it('keeps a buffer, and the file, until the read into it has settled', async () => {
    const pool = new BufferPool()
    const file = heldFile()
    const source = new FileSource(file.handle, content.byteLength, pool, () => 0)
    const abort = new AbortController()
    const pump = source.pump({ async write() {} }, whole, abort.signal)
    abort.abort(new Error('gone'))
    await assert.rejects(pump, /gone/)
    await turns(5)
    const closed = source.close()
    assert.equal(pool.usedBytes, MIB, 'the buffer was given back while a read was writing into it')
    await turns(5)
    assert.equal(file.closed, false, 'the file was closed under a read')
    file.finishRead()
    await closed
    assert.equal(file.closed, true)
    assert.equal(pool.usedBytes, 0)
  })

  it('reads one buffer ahead, and no more, while the sink is busy', async () => {
    const pool = new BufferPool()
    const file = heldFile()
    const source = new FileSource(file.handle, content.byteLength, pool, () => 0)
    const abort = new AbortController()
    const stalled = { write: () => new Promise<void>(() => {}) }
    const pump = source.pump(stalled, whole, abort.signal)
    await file.reading(1)
    file.finishRead()
    await file.reading(2)
    file.finishRead()
    await turns(20)
    assert.equal(file.reads, 2)
    assert.equal(pool.usedBytes, 2 * MIB)
    abort.abort(new Error('gone'))
    await assert.rejects(pump, /gone/)
    await turns(2)
    assert.equal(pool.usedBytes, 0)
    await source.close()
  })

  it('does not reuse a buffer that an abandoned sink still holds', async () => {
    const pool = new BufferPool()
    const file = heldFile()
    file.hold = false
    const source = new FileSource(file.handle, content.byteLength, pool, () => 0)
    const abort = new AbortController()
    let kept: Uint8Array = new Uint8Array()
    const keeping = {
      write(chunk: Uint8Array) {
        kept = chunk
        return new Promise<void>(() => {})
      },
    }
    const pump = source.pump(keeping, whole, abort.signal)
    await file.reading(2)
    abort.abort(new Error('gone'))
    await assert.rejects(pump, /gone/)
    await source.close()
    await turns(2)
    for (let index = 0; index < 64; index++) {
      const buffer = pool.takeNow(MIB)
      assert.notEqual(buffer?.bytes.buffer, kept.buffer)
      buffer?.bytes.fill(0)
    }
    assert.ok(content.subarray(0, kept.byteLength).equals(kept))
  })

  it('gives a slow client smaller buffers and no read-ahead, and a fast one large ones again', async () => {
    let nowMs = 0
    const pool = new BufferPool()
    const file = heldFile()
    file.hold = false
    const source = new FileSource(file.handle, content.byteLength, pool, () => nowMs)
    const sizes: number[] = []
    const inUse: number[] = []
    const received: Buffer[] = []
    const sink = {
      async write(chunk: Uint8Array) {
        await turns(3)
        sizes.push(chunk.byteLength)
        inUse.push(pool.usedBytes)
        received.push(Buffer.from(chunk))
        nowMs += sizes.length <= 5 ? blobStoreLimits.slowSinkWriteMs + 1 : 1
      },
    }
    await source.pump(sink, whole, never)
    await source.close()
    assert.ok(Buffer.concat(received).equals(content))
    const [smallest, middle, largest] = blobStoreLimits.readBufferClassesBytes
    assert.deepEqual(sizes.slice(0, 2), [largest, largest]) // The second one was read ahead already.
    assert.deepEqual(inUse.slice(2, 6), [smallest, smallest, smallest, smallest])
    assert.deepEqual(sizes.slice(2, 8), [smallest, smallest, smallest, smallest, middle, largest])
    assert.equal(pool.usedBytes, 0)
  })

  it('goes on with small buffers while stalled clients hold the large ones', async () => {
    const pool = new BufferPool({ budgetBytes: 3 * MIB, reserveBytes: MIB })
    const stalledSink = { write: () => new Promise<void>(() => {}) }
    const abort = new AbortController()
    const stalled = Array.from({ length: 4 }, () => {
      const file = heldFile()
      file.hold = false
      const source = new FileSource(file.handle, content.byteLength, pool, () => 0)
      const pump = assert.rejects(source.pump(stalledSink, whole, abort.signal), /gone/)
      return { source, pump }
    })
    await turns(20)
    const file = heldFile()
    file.hold = false
    const source = new FileSource(file.handle, content.byteLength, pool, () => 0)
    const received: Buffer[] = []
    const sink = {
      async write(chunk: Uint8Array) {
        received.push(Buffer.from(chunk))
      },
    }
    await source.pump(sink, whole, never)
    assert.ok(Buffer.concat(received).equals(content))
    await source.close()
    abort.abort(new Error('gone'))
    for (const { source: other, pump } of stalled) {
      await pump
      await other.close()
    }
    assert.equal(pool.usedBytes, 0)
  })
})

/** A file whose reads end when told to (or at once, without `hold`). */
function heldFile() {
  const waiting: (() => void)[] = []
  const file = {
    hold: true,
    reads: 0,
    closed: false,
    finishRead: () => waiting.shift()?.(),
    async reading(count: number): Promise<void> {
      while (file.reads < count) {
        await turns(1)
      }
    },
    handle: {
      async read(buffer: Buffer, offset: number, length: number, position: number) {
        file.reads++
        if (file.hold) {
          await new Promise<void>((resolve) => {
            waiting.push(resolve)
          })
        }
        return { bytesRead: content.copy(buffer, offset, position, position + length), buffer }
      },
      async close() {
        file.closed = true
      },
    } as unknown as FileHandle,
  }
  return file
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) {
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
  }
}
