/** What one look at the installation found. */
export interface Check {
  /** What was looked at: `configuration`, `host registry.example`, `region eu blob store`. */
  readonly name: string
  readonly outcome: 'ok' | 'warning' | 'failed'
  /** What was seen, in a sentence. */
  readonly message: string
  /** What to do; null when nothing is to be done. */
  readonly nextStep: string | null
}

/** Everything is as it must be. */
export function fine(name: string, message: string): Check {
  return { name, outcome: 'ok', message, nextStep: null }
}

/** It works now, and will not for long, or not for all. */
export function doubtful(name: string, message: string, nextStep: string): Check {
  return { name, outcome: 'warning', message, nextStep }
}

/** It does not work. */
export function broken(name: string, message: string, nextStep: string): Check {
  return { name, outcome: 'failed', message, nextStep }
}

/** Runs one look; what it throws becomes a failed check with `nextStep`. */
export async function look(
  name: string,
  nextStep: string,
  see: () => Promise<Check | readonly Check[]>,
): Promise<readonly Check[]> {
  try {
    const seen = await see()
    return 'outcome' in seen ? [seen] : seen
  } catch (error) {
    return [broken(name, messageOf(error), nextStep)]
  }
}

/** One line for a person, of an error and what caused it. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0])
  if (!(error instanceof Error)) return 'it failed'
  const code = (error as NodeJS.ErrnoException).code
  const text = error.message === '' ? (code ?? error.name) : error.message
  const cause = error.cause instanceof Error ? messageOf(error.cause) : ''
  return cause === '' || text.includes(cause) ? text : `${text}: ${cause}`
}
