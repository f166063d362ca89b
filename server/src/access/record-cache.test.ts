import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { createLease, type Lease } from './lease.ts'
import { LEASE_MS, UNKNOWN_TTL_MS } from './limits.ts'
import { createRecordCache, type RecordCache } from './record-cache.ts'

describe('createRecordCache', () => {
  const START_MS = 1_000_000
  const clock = { ms: START_MS }
  /** What the database holds, and reads that are held up until they are let go. */
  let rows: Map<string, { readonly version: number }>
  let gates: PromiseWithResolvers<void>[]
  let isSlow: boolean
  let reads: number
  let lease: Lease
  let cache: RecordCache<{ readonly version: number }>

  beforeEach(() => {
    clock.ms = START_MS
    rows = new Map([['a', { version: 1 }]])
    gates = []
    isSlow = false
    reads = 0
    lease = createLease(() => clock.ms)
    lease.renew(clock.ms)
    cache = createRecordCache({
      max: 100,
      lease,
      monotonicMs: () => clock.ms,
      async read(id) {
        reads += 1
        const row = rows.get(id) ?? null
        if (isSlow) {
          const gate = Promise.withResolvers<void>()
          gates.push(gate)
          await gate.promise
        }
        return row
      },
    })
  })

  function letGo(): void {
    for (const gate of gates.splice(0)) gate.resolve()
  }

  it('reads once while the lease holds', async () => {
    assert.deepEqual(await cache.load('a'), { version: 1 })
    rows.set('a', { version: 2 })
    assert.deepEqual(await cache.load('a'), { version: 1 })
    assert.equal(reads, 1)
  })

  it('reads each time without a lease, and keeps nothing', async () => {
    await cache.load('a')
    rows.set('a', { version: 2 })
    clock.ms += LEASE_MS
    assert.deepEqual(await cache.load('a'), { version: 2 })
    rows.set('b', { version: 7 })
    assert.deepEqual(await cache.load('b'), { version: 7 })
    rows.delete('b')
    assert.equal(await cache.load('b'), null)
  })

  it('reads again after a drop', async () => {
    await cache.load('a')
    rows.set('a', { version: 2 })
    cache.drop('a')
    assert.deepEqual(await cache.load('a'), { version: 2 })
  })

  for (const [what, drop] of [
    ['drop', () => cache.drop('a')],
    ['drop of everything', () => cache.dropAll()],
  ] as const) {
    it(`neither keeps nor shares what was read before a ${what}`, async () => {
      isSlow = true
      const early = cache.load('a')
      rows.set('a', { version: 2 })
      drop()
      const late = cache.load('a')
      gates.pop()?.resolve()
      assert.deepEqual(await late, { version: 2 })
      letGo()
      assert.deepEqual(await early, { version: 1 })
      assert.deepEqual(await cache.load('a'), { version: 2 })
    })
  }

  it('does not share a read with whoever asks when the lease has ended', async () => {
    isSlow = true
    const early = cache.load('a')
    clock.ms += LEASE_MS
    rows.set('a', { version: 2 })
    const late = cache.load('a')
    letGo()
    assert.deepEqual(await early, { version: 1 })
    assert.deepEqual(await late, { version: 2 })
  })

  it('reads once for all who ask at the same time', async () => {
    isSlow = true
    const both = [cache.load('a'), cache.load('a')]
    letGo()
    assert.deepEqual(await Promise.all(both), [{ version: 1 }, { version: 1 }])
    assert.equal(reads, 1)
  })

  it('remembers for a short while what does not exist, and no longer than the next drop', async () => {
    assert.equal(await cache.load('b'), null)
    rows.set('b', { version: 1 })
    assert.equal(await cache.load('b'), null)
    clock.ms += UNKNOWN_TTL_MS + 1
    assert.deepEqual(await cache.load('b'), { version: 1 })
    assert.equal(await cache.load('c'), null)
    rows.set('c', { version: 1 })
    cache.dropUnknown()
    assert.deepEqual(await cache.load('c'), { version: 1 })
  })

  it('does not remember a read that failed', async () => {
    const failing = createRecordCache<{ readonly version: number }>({
      max: 100,
      lease,
      monotonicMs: () => clock.ms,
      async read() {
        reads += 1
        if (reads === 1) throw new Error('down')
        return { version: 3 }
      },
    })
    await assert.rejects(failing.load('a'), /down/)
    assert.deepEqual(await failing.load('a'), { version: 3 })
  })
})

describe('createLease', () => {
  it('starts ended, lasts from before the poll was sent, and is never shortened', () => {
    const clock = { ms: 1_000 }
    const lease = createLease(() => clock.ms, 100)
    assert.equal(lease.isValid(), false)
    lease.renew(950)
    assert.equal(lease.isValid(), true)
    lease.renew(900)
    clock.ms = 1_049
    assert.equal(lease.isValid(), true)
    clock.ms = 1_050
    assert.equal(lease.isValid(), false)
    lease.renew(1_050)
    lease.end()
    assert.equal(lease.isValid(), false)
  })
})
