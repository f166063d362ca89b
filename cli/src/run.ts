import { CommanderError } from 'commander'
import { describeError, errorJson, errorLines } from './describe-error.ts'
import { EXIT_CODES } from './exit-code.ts'
import { type Io, note } from './io.ts'
import { createProgram } from './program.ts'

/** Runs one command line (without the program's own name) and answers the exit code. Never throws. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const program = createProgram(io)
  try {
    await program.parseAsync([...args], { from: 'user' })
    return Number(process.exitCode ?? EXIT_CODES.ok.code)
  } catch (error) {
    // Commander has said what is wrong already; help and version end this way, too.
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? EXIT_CODES.ok.code : EXIT_CODES.usage.code
    }
    const described = describeError(error)
    const asJson = program.opts<{ json?: boolean }>().json === true
    for (const line of asJson ? [errorJson(described)] : errorLines(described)) note(io, line)
    return EXIT_CODES[described.exit].code
  }
}
