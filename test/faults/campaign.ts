/**
 * Long runs of the fault suite.
 *
 *   node test/faults/campaign.ts [--rounds 200] [--seed N] [--stack sqlite-fs|postgres-s3] [--fsck-every 5]
 *   node test/faults/campaign.ts --sweep files|postgres|s3 [--of push|gc] [--faults N] [--kinds silence,stall]
 *
 * The first kills the server again and again while it works, the second makes every n-th operation fail in every way
 * (or N of them). Prints the seed first and the result last; the exit code is 1 when something was not as it must be.
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { stacks } from '../support/suite-files.ts'
import { ensureTools } from '../support/tools.ts'
import { startFileSweep } from './file-sweep.ts'
import { runKill9Campaign } from './kill9-rounds.ts'
import { startNetworkSweep } from './network-sweep.ts'
import { chooseFaults, sweepPush, type SweepSubject } from './sweep.ts'
import { sweepGc } from './sweep-gc.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '200' },
    seed: { type: 'string' },
    stack: { type: 'string', default: 'sqlite-fs' },
    'fsck-every': { type: 'string', default: '5' },
    sweep: { type: 'string' },
    of: { type: 'string', default: 'push' },
    faults: { type: 'string', default: '0' },
    kinds: { type: 'string' },
  },
})
const print = (line: string): void => console.log(line)
const startedAt = performance.now()
try {
  const result = values.sweep === undefined ? await killAgainAndAgain() : await sweep(values.sweep)
  print(`passed after ${((performance.now() - startedAt) / 1000).toFixed(0)} s: ${JSON.stringify(result)}`)
} catch (error) {
  print(`FAILED: ${(error as Error).message}`)
  process.exitCode = 1
}
// Shared servers of the other stack end with this process.
process.exit()

async function killAgainAndAgain(): Promise<unknown> {
  const stack = oneOf(stacks, '--stack', values.stack)
  const seed = Number(values.seed ?? randomInt(2 ** 31))
  const rounds = Number(values.rounds)
  print(`seed ${seed}, ${rounds} rounds on ${stack}`)
  if (stack === 'postgres-s3') await ensureTools(['postgres', 'versitygw'])
  return runKill9Campaign({ seed, rounds, stack, roundsPerFsck: Number(values['fsck-every']), report: print })
}

async function sweep(name: string): Promise<unknown> {
  const what = oneOf(['push', 'gc'] as const, '--of', values.of)
  const place = oneOf(['files', 'postgres', 's3'] as const, '--sweep', name)
  if (place === 'files') {
    await using subject = await startFileSweep(what, print)
    return await runSweep(subject, what)
  }
  await ensureTools(['postgres', 'versitygw'])
  await using subject = await startNetworkSweep(place, what, print)
  return await runSweep(subject, what)
}

function runSweep<Kind extends string>(subject: SweepSubject<Kind>, what: 'push' | 'gc'): Promise<unknown> {
  const { kinds } = subject.injector
  const chosen = values.kinds?.split(',').map((kind) => oneOf(kinds, '--kinds', kind)) ?? kinds
  const run = what === 'push' ? sweepPush : sweepGc
  return run(subject, (operations) => chooseFaults(operations, chosen, Number(values.faults)))
}

function oneOf<T extends string>(known: readonly T[], option: string, text: string): T {
  const found = known.find((one) => one === text)
  if (found === undefined) throw new Error(`${option} is ${text}; it can be ${known.join(' or ')}`)
  return found
}
