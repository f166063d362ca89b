// @tier full
// @stacks sqlite-fs
// @needs gcc
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startFileSweep } from './file-sweep.ts'
import { chooseFaults, type SweepResult, sweepPush } from './sweep.ts'
import { sweepGc } from './sweep-gc.ts'

const pushFaults = 150
const gcFaults = 60

test('files and SQLite: no fault in a push loses what was acknowledged, hangs, or needs a restart', async (t) => {
  await using subject = await startFileSweep('push', report(t))
  const { kinds } = subject.injector
  checkHits(t, await sweepPush(subject, (operations) => chooseFaults(operations, kinds, pushFaults)))
})

test('files and SQLite: no fault in garbage collection takes what is needed, or keeps it from going on', async (t) => {
  await using subject = await startFileSweep('gc', report(t))
  const { kinds } = subject.injector
  checkHits(t, await sweepGc(subject, (operations) => chooseFaults(operations, kinds, gcFaults)))
})

function report(t: TestContext): (line: string) => void {
  return (line) => t.diagnostic(line)
}

/** A sweep that spoils nothing shows nothing. */
function checkHits(t: TestContext, result: SweepResult): void {
  t.diagnostic(`${result.hits} of ${result.faults} faults met an operation, ${result.refusals} were refused`)
  assert.ok(result.hits > result.faults / 2)
  assert.ok(result.refusals > 0)
}
