/** One that every run shares, so that a failure is of the change and not of the day. The campaign takes others. */
const FIXED_SEED = 15_776_258

/** BERTH_TEST_SEED, or the fixed one. */
export function chosenSeed(): number {
  return Number(process.env['BERTH_TEST_SEED'] ?? FIXED_SEED)
}

/** BERTH_TEST_RUNS, or the default. */
export function chosenRuns(defaultRuns: number): number {
  return Number(process.env['BERTH_TEST_RUNS'] ?? defaultRuns)
}

/** Who names the number of runs waits for all of them; else no run begins after the default. */
export function chosenBudgetMs(defaultMs: number): number {
  return process.env['BERTH_TEST_RUNS'] === undefined ? defaultMs : Number.POSITIVE_INFINITY
}
