import { randomInt } from 'node:crypto'

/** BERTH_TEST_SEED, or any. */
export function chosenSeed(): number {
  return Number(process.env['BERTH_TEST_SEED'] ?? randomInt(2 ** 31))
}

/** BERTH_TEST_RUNS, or the default. */
export function chosenRuns(defaultRuns: number): number {
  return Number(process.env['BERTH_TEST_RUNS'] ?? defaultRuns)
}
