import { CliError } from './cli-error.ts'
import { isInteractive } from './io.ts'
import type { Session } from './session.ts'

/**
 * Asks the person to type `name` before something is destroyed. `--yes` answers for them; without a terminal and without
 * `--yes` it is a usage error, so that a script never hangs.
 */
export async function confirmByName({ io, options }: Session, what: string, name: string): Promise<void> {
  if (options.yes === true) return
  if (!isInteractive(io)) {
    throw new CliError('usage', `${what} Nothing was done: nobody can be asked here.`, 'Add --yes to go on.')
  }
  const { isCancel, text } = await import('@clack/prompts')
  const answer = await text({
    message: `${what} Type "${name}" to go on.`,
    output: io.stderr,
    validate: (value) => (value === name ? undefined : `That is not "${name}".`),
  })
  if (isCancel(answer)) throw new CliError('interrupted', 'Nothing was done.')
}
