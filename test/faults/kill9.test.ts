// @tier full
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { currentStack } from '../support/stack.ts'
import { runKill9Campaign } from './kill9-rounds.ts'

/** Another one with BERTH_FAULT_SEED; what meets what in time is different in each run anyway. */
const defaultSeed = 20_261_122
const roundsByStack = { 'sqlite-fs': 12, 'postgres-s3': 6 } as const

test('what was acknowledged is there after kill -9, and nothing else is', async (context) => {
  const stack = currentStack()
  const rounds = roundsByStack[stack]
  const seed = Number(process.env['BERTH_FAULT_SEED'] ?? defaultSeed)
  context.diagnostic(`seed ${seed}`)
  const report = (line: string): void => context.diagnostic(line)
  const result = await runKill9Campaign({ seed, rounds, stack, roundsPerFsck: 3, report })
  assert.equal(result.rounds, rounds)
  assert.ok(result.acknowledged > 0)
})
