// @tier full
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { currentStack } from '../support/stack.ts'
import { chosenBudgetMs, chosenRuns, chosenSeed } from './chosen.ts'
import { runConcurrent } from './concurrent-run.ts'
import { runSequential } from './sequential-run.ts'

const budgetMs = 120_000
const runs = 100

for (const [name, run] of [
  ['one after the other', runSequential],
  ['at the same time', runConcurrent],
] as const) {
  test(`many more commands, ${name}`, async (context) => {
    const total = await run({
      stack: currentStack(),
      seed: chosenSeed(),
      runs: chosenRuns(runs),
      budgetMs: chosenBudgetMs(budgetMs),
      report: (line) => context.diagnostic(line),
    })
    assert.ok(total.runs > 0)
  })
}
