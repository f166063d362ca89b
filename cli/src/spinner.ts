import type { Session } from './session.ts'

/** Says on standard error what is going on. On a terminal only; never in a pipe and never with `--json`. */
export interface Progress {
  /** Begins to say it, or says something else from now on. */
  show(message: string): void
  /** Takes it off the terminal. Nothing when nothing is shown. */
  clear(): void
}

/** Makes ready to say what is going on; shows nothing yet. */
export async function openProgress({ io, options }: Pick<Session, 'io' | 'options'>): Promise<Progress> {
  if (io.stderr.isTTY !== true || options.json === true) return { show() {}, clear() {} }
  const { spinner } = await import('@clack/prompts')
  let shown: ReturnType<typeof spinner> | null = null
  return {
    show(message) {
      if (shown !== null) return shown.message(message)
      shown = spinner({ output: io.stderr, indicator: 'timer' })
      shown.start(message)
    },
    clear() {
      shown?.clear()
      shown = null
    },
  }
}

/** Shows that something is going on while `work` runs. */
export async function withSpinner<Result>(
  session: Session,
  message: string,
  work: () => Promise<Result>,
): Promise<Result> {
  const progress = await openProgress(session)
  progress.show(message)
  try {
    return await work()
  } finally {
    progress.clear()
  }
}
