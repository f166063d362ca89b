import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ByteBudget } from './byte-budget.ts'

describe('byte budget', () => {
  it('grants up to its total, in the order of asking', async () => {
    const budget = new ByteBudget(10)
    await budget.acquire(8)
    const order: string[] = []
    const large = budget.acquire(9).then(() => order.push('large'))
    const small = budget.acquire(1).then(() => order.push('small'))
    assert.equal(budget.tryAcquire(1), false, 'nobody passes those who wait')
    budget.release(8)
    await Promise.all([large, small])
    assert.deepEqual(order, ['large', 'small'])
    assert.equal(budget.usedBytes, 10)
  })

  it('lets the next one pass when the first in line gives up', async () => {
    const budget = new ByteBudget(10)
    await budget.acquire(5)
    const abort = new AbortController()
    const large = budget.acquire(10, abort.signal)
    const small = budget.acquire(5)
    abort.abort(new Error('gone'))
    await assert.rejects(large, /gone/)
    await small
    await assert.rejects(budget.acquire(1, AbortSignal.abort(new Error('before'))), /before/)
    budget.release(10)
    assert.equal(budget.usedBytes, 0)
  })

  it('refuses what can never be had and what was never taken', async () => {
    const budget = new ByteBudget(10)
    await assert.rejects(budget.acquire(11), RangeError)
    assert.throws(() => budget.release(1), RangeError)
  })
})
