import assert from 'node:assert/strict'
import { test } from 'node:test'
import { currentStack } from '../support/stack.ts'
import { chosenBudgetMs, chosenRuns, chosenSeed } from './chosen.ts'
import { runSequential } from './sequential-run.ts'

const budgetMs = 15_000

test('commands one after the other are answered as the model says', async (context) => {
  const total = await runSequential({
    stack: currentStack(),
    seed: chosenSeed(),
    runs: chosenRuns(12),
    budgetMs: chosenBudgetMs(budgetMs),
    report: (line) => context.diagnostic(line),
  })
  assert.ok(total.runs > 0)
})
