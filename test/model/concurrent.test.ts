import assert from 'node:assert/strict'
import { test } from 'node:test'
import { currentStack } from '../support/stack.ts'
import { chosenBudgetMs, chosenRuns, chosenSeed } from './chosen.ts'
import { runConcurrent } from './concurrent-run.ts'

const budgetMs = 10_000

test('commands at the same time are explained by one order of them', async (context) => {
  const total = await runConcurrent({
    stack: currentStack(),
    seed: chosenSeed(),
    runs: chosenRuns(12),
    budgetMs: chosenBudgetMs(budgetMs),
    report: (line) => context.diagnostic(line),
  })
  assert.ok(total.runs > 0)
})
