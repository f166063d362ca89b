import { CliError } from './cli-error.ts'
import { type Io, isInteractive } from './io.ts'

const MAX_SECRET_BYTES = 8 * 1024

/** Reads a secret: from the terminal without showing it, else the first line of standard input. Never an argument. */
export async function readSecret(io: Io, prompt: string): Promise<string> {
  const secret = (isInteractive(io) ? await askSecret(io, prompt) : await readLine(io)).trim()
  if (secret === '') throw new CliError('usage', 'No token was given.', 'Pipe it in, or set BERTH_TOKEN.')
  return secret
}

async function askSecret(io: Io, message: string): Promise<string> {
  const { isCancel, password } = await import('@clack/prompts')
  const answer = await password({ message, output: io.stderr })
  if (isCancel(answer)) throw new CliError('interrupted', 'Nothing was done.')
  return answer
}

async function readLine(io: Io): Promise<string> {
  let text = ''
  for await (const chunk of io.stdin) {
    text += String(chunk)
    if (text.includes('\n') || text.length > MAX_SECRET_BYTES) break
  }
  return text.split('\n', 1)[0] ?? ''
}
