/**
 * Long runs of the model tests.
 *
 *   node test/model/campaign.ts [--runs 200] [--seed N] [--stack sqlite-fs|postgres-s3] [--kind sequential|concurrent]
 *
 * Prints the seed first and the result last; the exit code is 1 when the server did what the model does not allow.
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { stacks } from '../support/suite-files.ts'
import { ensureTools } from '../support/tools.ts'
import { runConcurrent } from './concurrent-run.ts'
import { runSequential } from './sequential-run.ts'

const kinds = { sequential: runSequential, concurrent: runConcurrent }

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '200' },
    seed: { type: 'string' },
    stack: { type: 'string', default: 'sqlite-fs' },
    kind: { type: 'string' },
  },
})
const stack = stacks.find((name) => name === values.stack)
if (stack === undefined) throw new Error(`--stack is ${values.stack}; it can be ${stacks.join(' or ')}`)
const chosen = Object.entries(kinds).filter(([name]) => values.kind === undefined || name === values.kind)
if (chosen.length === 0)
  throw new Error(`--kind is ${values.kind}; it can be ${Object.keys(kinds).join(' or ')}`)
const seed = Number(values.seed ?? randomInt(2 ** 31))
const runs = Number(values.runs)
console.log(`seed ${seed}, ${runs} runs of each kind on ${stack}`)
if (stack === 'postgres-s3') await ensureTools(['postgres', 'versitygw'])
for (const [name, run] of chosen) {
  const startedAt = performance.now()
  try {
    const total = await run({ stack, seed, runs, budgetMs: Number.POSITIVE_INFINITY, report: () => {} })
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
    console.log(`passed: ${name}, ${total.runs} runs, ${total.commands} commands, ${seconds} s`)
  } catch (error) {
    console.log(`FAILED: ${name}: ${(error as Error).message}`)
    process.exitCode = 1
  }
}
// Shared servers of the other stack end with this process.
process.exit()
