import type { ExitName } from './exit-code.ts'

/** A failure that is told to the person: what went wrong, and what to do next. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly exit: ExitName
  /** What to do next; null when there is nothing to say. */
  readonly hint: string | null

  constructor(exit: ExitName, message: string, hint: string | null = null) {
    super(message)
    this.exit = exit
    this.hint = hint
  }
}
