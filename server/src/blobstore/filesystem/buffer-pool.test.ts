import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BufferPool } from './buffer-pool.ts'

const KIB = 1024
const MIB = 1024 * KIB
const never = new AbortController().signal

describe('buffer pool', () => {
  it('lends the size that fits best and reuses what was released', () => {
    const pool = new BufferPool()
    const small = pool.takeNow(10)
    const large = pool.takeNow(50 * MIB)
    assert.equal(small?.bytes.byteLength, 64 * KIB)
    assert.equal(large?.bytes.byteLength, MIB)
    assert.equal(pool.usedBytes, MIB + 64 * KIB)
    large?.release()
    const again = pool.takeNow(MIB)
    assert.equal(again?.bytes, large?.bytes)
    again?.forget()
    assert.notEqual(pool.takeNow(MIB)?.bytes, large?.bytes)
  })

  it('refuses to take a buffer back twice', () => {
    const buffer = new BufferPool().takeNow(1)
    buffer?.release()
    assert.throws(() => buffer?.release())
    assert.throws(() => buffer?.forget())
  })

  it('lends smaller buffers when large ones are scarce, and keeps a reserve for the smallest', () => {
    const pool = new BufferPool({ budgetBytes: 2 * MIB, reserveBytes: 256 * KIB })
    const sizes: number[] = []
    for (let buffer = pool.takeNow(MIB); buffer; buffer = pool.takeNow(MIB)) {
      sizes.push(buffer.bytes.byteLength)
    }
    assert.deepEqual(sizes, [MIB, 256 * KIB, 256 * KIB, 256 * KIB, ...Array(4).fill(64 * KIB)])
    assert.equal(pool.usedBytes, 2 * MIB)
  })

  it('serves those who wait in the order in which they came, and lets none pass them', async () => {
    const pool = new BufferPool({ budgetBytes: 128 * KIB, reserveBytes: 0 })
    const first = pool.takeNow(1)
    const second = pool.takeNow(1)
    const order: string[] = []
    const abort = new AbortController()
    const take = async (name: string, wantedBytes: number) => {
      const buffer = await pool.take(wantedBytes, never)
      order.push(name)
      return buffer
    }
    const a = take('a', MIB)
    const gone = assert.rejects(pool.take(MIB, abort.signal), /gone/)
    const b = take('b', 1)
    abort.abort(new Error('gone'))
    await gone
    assert.equal(pool.waiting, 2)
    first?.release()
    assert.equal(pool.takeNow(1), null)
    const lentFirst = await a
    assert.deepEqual(order, ['a'])
    second?.release()
    const lentSecond = await b
    lentFirst.release()
    lentSecond.release()
    assert.equal(pool.usedBytes, 0)
  })

  it('keeps few buffers when nobody uses them', () => {
    const pool = new BufferPool({ idleBytes: MIB })
    const lent = [pool.takeNow(MIB), pool.takeNow(MIB)]
    for (const buffer of lent) {
      buffer?.release()
    }
    assert.equal(pool.takeNow(MIB)?.bytes, lent[0]?.bytes)
    assert.notEqual(pool.takeNow(MIB)?.bytes, lent[1]?.bytes)
  })
})
