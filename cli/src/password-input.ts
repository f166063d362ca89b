import { CliError } from './cli-error.ts'
import { type Io, isInteractive } from './io.ts'

/** Where scripts put the password or token of a third-party registry. */
export const PASSWORD_VARIABLE = 'BERTH_REGISTRY_PASSWORD'

const MAX_PASSWORD_BYTES = 16 * 1024

/**
 * Reads the password of a third-party registry: all of standard input with `--password-stdin`, else the environment,
 * else the terminal. Never an argument, which every process of the machine could read.
 */
export async function readPassword(
  io: Io,
  prompt: string,
  options: { readonly passwordStdin?: boolean },
): Promise<string> {
  const password = options.passwordStdin === true ? await readAll(io) : await fromElsewhere(io, prompt)
  if (password === '') throw new CliError('usage', 'The password is empty.')
  return password
}

async function fromElsewhere(io: Io, message: string): Promise<string> {
  const known = io.env[PASSWORD_VARIABLE]
  if (known !== undefined) return known
  if (!isInteractive(io)) {
    throw new CliError(
      'usage',
      'A user name needs a password, and nobody can be asked here.',
      `Pipe it in with --password-stdin, or set ${PASSWORD_VARIABLE}.`,
    )
  }
  const { isCancel, password } = await import('@clack/prompts')
  const answer = await password({ message, output: io.stderr })
  if (isCancel(answer)) throw new CliError('interrupted', 'Nothing was done.')
  return answer
}

/** Without the line break that `echo` adds; a key file in JSON has more of them, which stay. */
async function readAll(io: Io): Promise<string> {
  let text = ''
  for await (const chunk of io.stdin) {
    text += String(chunk)
    if (text.length > MAX_PASSWORD_BYTES) throw new CliError('usage', 'The password is too long.')
  }
  return text.replace(/\r?\n$/, '')
}
