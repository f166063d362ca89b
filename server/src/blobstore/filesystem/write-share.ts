import { blobStoreLimits } from '../limits.ts'

/**
 * Divides a memory budget evenly over the writers that are open: each holds at most one share that it gathers and one
 * that is being written. Many uploads at once make smaller writes instead of more memory.
 */
export class WriteShare {
  readonly #budgetBytes: number
  #writers = 0

  constructor(budgetBytes: number = blobStoreLimits.writeBudgetBytes) {
    this.#budgetBytes = budgetBytes
  }

  /** What one writer may gather before it must write. */
  get gatherBytes(): number {
    const share = Math.floor(this.#budgetBytes / (2 * Math.max(1, this.#writers)))
    return Math.min(blobStoreLimits.writeGatherMaxBytes, Math.max(blobStoreLimits.writeGatherMinBytes, share))
  }

  join(): void {
    this.#writers++
  }

  leave(): void {
    this.#writers--
  }
}
