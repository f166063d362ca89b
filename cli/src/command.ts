import { type Command, Option } from 'commander'
import type { Io } from './io.ts'
import { type GlobalOptions, openSession, type Session } from './session.ts'

/** Adds a command's definitions to its parent. */
export type Define = (parent: Command, io: Io) => void

/** A leaf command: a name with its arguments, and one sentence. */
export function leaf(parent: Command, nameAndArguments: string, summary: string): Command {
  return parent.command(nameAndArguments).description(summary)
}

/** An action that needs the console: `run` gets the session, the positional arguments and the command's own options. */
export function withSession<Options extends object>(
  io: Io,
  run: (session: Session, args: string[], options: Options) => Promise<void>,
): (...parameters: unknown[]) => Promise<void> {
  return async (...parameters) => {
    const command = parameters.at(-1) as Command
    const options = command.optsWithGlobals<GlobalOptions & Options>()
    const session = await openSession(io, options)
    await run(session, command.processedArgs as string[], options)
  }
}

/** Options of every list. */
export function withListOptions(command: Command): Command {
  return command
    .option('--limit <count>', 'show at most this many (default: 100)')
    .option('--all', 'show all')
}

/** `--region`, for what exists in a region. */
export function withRegion(command: Command): Command {
  return command.option('--region <region>', 'needed only when it exists in several regions')
}

/** Collects an option that may be given several times, or once with commas. */
export function listOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value: string, before: string[] | undefined) => [
    ...(before ?? []),
    ...value
      .split(',')
      .map((entry) => entry.trim())
      .filter((entry) => entry !== ''),
  ])
}
