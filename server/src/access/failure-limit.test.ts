import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createFailureLimit } from './failure-limit.ts'

const HERE = '192.0.2.1'
const THERE = '192.0.2.2'

function limit(
  more: Partial<{
    failuresPerCredential: number
    failingCredentialsPerAddress: number
    countedFailures: number
  }> = {},
) {
  return createFailureLimit({
    failuresPerCredential: 3,
    failingCredentialsPerAddress: 5,
    countedFailures: 100,
    ...more,
  })
}

async function isLimited(answer: Promise<number | null>): Promise<boolean> {
  const seconds = await answer
  assert.ok(seconds === null || (Number.isInteger(seconds) && seconds >= 1 && seconds <= 60))
  return seconds !== null
}

describe('createFailureLimit', () => {
  it('limits a credential from an address after so many failures, and only that', async () => {
    const failures = limit()
    for (let i = 0; i < 3; i++) assert.equal(await isLimited(failures.count('a', HERE)), false)
    assert.equal(await isLimited(failures.count('a', HERE)), true)
    assert.equal(await isLimited(failures.count('a', THERE)), false)
    assert.equal(await isLimited(failures.count('b', HERE)), false)
  })

  it('counts a /64 as one client', async () => {
    const failures = limit()
    for (let i = 0; i < 3; i++) await failures.count('a', `2001:db8::${i}`)
    assert.equal(await isLimited(failures.count('a', '2001:db8::ffff')), true)
    assert.equal(await isLimited(failures.count('a', '2001:db8:0:1::1')), false)
  })

  it('limits how many different credentials an address may fail with', async () => {
    const failures = limit()
    for (let i = 0; i < 5; i++) assert.equal(await isLimited(failures.count(`c${i}`, HERE)), false)
    assert.equal(await isLimited(failures.count('c5', HERE)), true)
    assert.equal(await isLimited(failures.count('c0', HERE)), false, 'one that is counted already')
    assert.equal(await isLimited(failures.count('c5', THERE)), false)
  })

  it('counts nothing more of an address that is limited, so that it does not use up the count of all', async () => {
    const failures = limit({ countedFailures: 6 })
    for (let i = 0; i < 20; i++) await failures.count(`c${i}`, HERE)
    assert.equal(await isLimited(failures.count('a', THERE)), false)
  })

  it('counts no more than so many at a time', async () => {
    const failures = limit({ countedFailures: 4 })
    for (let i = 0; i < 4; i++) assert.equal(await isLimited(failures.count('a', `192.0.2.${i}`)), false)
    assert.equal(await isLimited(failures.count('a', '192.0.2.9')), true)
  })

  it('forgets attempts that were no failures', async () => {
    const failures = limit()
    for (let i = 0; i < 20; i++) {
      assert.equal(await isLimited(failures.count('a', HERE)), false)
      await failures.forget('a', HERE)
    }
    for (let i = 0; i < 5; i++) assert.equal(await isLimited(failures.count(`c${i}`, HERE)), false)
    assert.equal(await isLimited(failures.count('c5', HERE)), true)
    await failures.forget('c0', HERE)
    assert.equal(await isLimited(failures.count('c5', HERE)), false)
    await failures.forget('unknown', THERE)
  })
})
