import type { Session } from './session.ts'

/** Shows that something is going on while `work` runs. On a terminal only; never in a pipe. */
export async function withSpinner<Result>(
  { io, options }: Session,
  message: string,
  work: () => Promise<Result>,
): Promise<Result> {
  if (io.stderr.isTTY !== true || options.json === true) return work()
  const { spinner } = await import('@clack/prompts')
  const shown = spinner({ output: io.stderr, indicator: 'timer' })
  shown.start(message)
  try {
    const result = await work()
    shown.clear()
    return result
  } catch (error) {
    shown.clear()
    throw error
  }
}
