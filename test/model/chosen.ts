import { randomInt } from 'node:crypto'

/** BERTH_TEST_SEED, or any. */
export function chosenSeed(): number {
  return Number(process.env['BERTH_TEST_SEED'] ?? randomInt(2 ** 31))
}

/** BERTH_TEST_RUNS, or the default. */
export function chosenRuns(defaultRuns: number): number {
  return Number(process.env['BERTH_TEST_RUNS'] ?? defaultRuns)
}

/** Who names the number of runs waits for all of them; else no run begins after the default. */
export function chosenBudgetMs(defaultMs: number): number {
  return process.env['BERTH_TEST_RUNS'] === undefined ? defaultMs : Number.POSITIVE_INFINITY
}
