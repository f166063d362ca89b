import assert from 'node:assert/strict'
import { test } from 'node:test'
import { currentStack } from '../support/stack.ts'
import { chosenRuns, chosenSeed } from './chosen.ts'
import { runSequential } from './sequential-run.ts'

const budgetMs = 20_000

test('commands one after the other are answered as the model says', async (context) => {
  const report = (line: string): void => context.diagnostic(line)
  const seed = chosenSeed()
  const total = await runSequential({ stack: currentStack(), seed, runs: chosenRuns(12), budgetMs, report })
  assert.ok(total.runs > 0)
})
