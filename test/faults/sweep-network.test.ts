// @tier full
// @stacks postgres-s3
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startNetworkSweep } from './network-sweep.ts'
import { chooseFaults, type SweepResult, sweepPush } from './sweep.ts'
import { sweepGc } from './sweep-gc.ts'

/** Silence costs a time-out each: those are for the long campaign. */
const quickKinds = {
  postgres: ['cut before', 'cut after'],
  s3: ['500', '503', 'reset', 'answer lost', 'truncated'],
} as const
const pushFaults = 60
const gcFaults = 24

for (const spoiled of ['postgres', 's3'] as const) {
  test(`${spoiled}: no fault in a push loses what was acknowledged, hangs, or needs a restart`, async (t) => {
    await using subject = await startNetworkSweep(spoiled, 'push', report(t))
    const choose = (operations: number) => chooseFaults(operations, quickKinds[spoiled], pushFaults)
    checkHits(t, await sweepPush(subject, choose))
  })

  test(`${spoiled}: no fault in garbage collection takes what is needed, or keeps it from going on`, async (t) => {
    await using subject = await startNetworkSweep(spoiled, 'gc', report(t))
    const choose = (operations: number) => chooseFaults(operations, quickKinds[spoiled], gcFaults)
    checkHits(t, await sweepGc(subject, choose))
  })
}

function report(t: TestContext): (line: string) => void {
  return (line) => t.diagnostic(line)
}

/** A sweep that spoils nothing shows nothing. */
function checkHits(t: TestContext, result: SweepResult): void {
  t.diagnostic(`${result.hits} of ${result.faults} faults met an operation, ${result.refusals} were refused`)
  assert.ok(result.hits > result.faults / 2)
}
