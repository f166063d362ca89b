/**
 * Long runs of the kill -9 rounds.
 *
 *   node test/faults/campaign.ts [--rounds 200] [--seed N] [--stack sqlite-fs|postgres-s3] [--fsck-every 5]
 *
 * Prints the seed first and the result last; the exit code is 1 when something acknowledged was not there.
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { stacks } from '../support/suite-files.ts'
import { ensureTools } from '../support/tools.ts'
import { runKill9Campaign } from './kill9-rounds.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '200' },
    seed: { type: 'string' },
    stack: { type: 'string', default: 'sqlite-fs' },
    'fsck-every': { type: 'string', default: '5' },
  },
})
const stack = stacks.find((name) => name === values.stack)
if (stack === undefined) throw new Error(`--stack is ${values.stack}; it can be ${stacks.join(' or ')}`)
const seed = Number(values.seed ?? randomInt(2 ** 31))
const rounds = Number(values.rounds)
console.log(`seed ${seed}, ${rounds} rounds on ${stack}`)
if (stack === 'postgres-s3') await ensureTools(['postgres', 'versitygw'])
const startedAt = performance.now()
try {
  const result = await runKill9Campaign({
    seed,
    rounds,
    stack,
    roundsPerFsck: Number(values['fsck-every']),
    report: (line) => console.log(line),
  })
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
  console.log(
    `passed: ${result.rounds} rounds, ${result.acknowledged} acknowledged changes, slowest start ${result.slowestStartMs.toFixed(0)} ms, ${seconds} s`,
  )
} catch (error) {
  console.log(`FAILED: ${(error as Error).message}`)
  process.exitCode = 1
}
// Shared servers of the other stack end with this process.
process.exit()
