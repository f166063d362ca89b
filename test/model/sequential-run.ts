import fc from 'fast-check'
import type { Stack } from '../support/suite-files.ts'
import { checkEverything, commandSequences, prime } from './commands.ts'
import { openModelServer } from './server.ts'
import { closeWorld, openWorld, TrashIsFull, type World } from './world.ts'

export type RunOptions = {
  stack: Stack
  seed: number
  runs: number
  /** No further run begins after this time, and in the sequential model no further command. */
  budgetMs: number
  report: (line: string) => void
}

const MAX_COMMANDS = 150
/** Time for making a failing sequence shorter. */
const SHRINK_BUDGET_MS = 60_000
const LONGEST_TIMER_MS = 2 ** 31 - 1

/**
 * Sequences of commands, one after the other, each answer compared with the model's. Throws the shortest failing sequence that
 * was found, with the seed. Answers how many sequences and commands were run.
 */
export async function runSequential(options: RunOptions): Promise<{ runs: number; commands: number }> {
  const { stack, seed, report } = options
  const deadline = performance.now() + options.budgetMs
  await using server = await openModelServer(stack)
  const total = { runs: 0, commands: 0 }
  let hasFailed = false
  const isOver = (): boolean => !hasFailed && performance.now() > deadline
  const runOne = async (commands: Iterable<fc.AsyncCommand<World, World>>): Promise<void> => {
    if (isOver()) return
    const world = await openWorld(server, isOver)
    try {
      await prime(world)
      await fc.asyncModelRun(() => ({ model: world, real: world }), commands)
      await checkEverything(world)
      total.runs += 1
      total.commands += [...commands].length
    } catch (error) {
      if (!(error instanceof TrashIsFull)) {
        hasFailed = true
        throw error
      }
    }
    await closeWorld(world)
  }
  const property = fc.asyncProperty(commandSequences(MAX_COMMANDS), runOne)
  const details = await fc.check(property, {
    seed,
    numRuns: options.runs,
    interruptAfterTimeLimit: Math.min(options.budgetMs + SHRINK_BUDGET_MS, LONGEST_TIMER_MS),
  })
  report(`seed ${seed}: ${total.runs} sequences, ${total.commands} commands on ${stack}`)
  if (details.failed) {
    const cause = details.errorInstance as Error | null
    const sequence = fc.stringify(details.counterexample)
    const where = `seed ${seed}, path ${details.counterexamplePath} on ${stack}`
    throw new Error(
      `${where}: ${cause?.message}\nafter:\n${sequence.replaceAll('),', '),\n')}\n${server.log()}`,
      {
        cause,
      },
    )
  }
  return total
}
