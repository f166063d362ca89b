import type { Command, DatabaseKind } from './database.ts'
import { accessCopyCommands } from './queries/access-copy.ts'
import { accessReplicaCommands } from './queries/access-replica.ts'
import { gcRunCommands } from './queries/gc-run.ts'
import { gcCommands } from './queries/gc.ts'
import { healthCommands } from './queries/health.ts'

/** A command whose types are not known any more: what the registry below holds. */
// biome-ignore lint/suspicious/noExplicitAny: schema, arguments and result differ from command to command.
export type AnyCommand = Command<any, any, any>

/**
 * All commands by database kind. The SQLite writer thread finds commands here by their name, so a command that is
 * not listed cannot run. Each file of `queries/` exports its own array; add it here.
 */
export const controlCommands: readonly AnyCommand[] = [...healthCommands]

export const regionCommands: readonly AnyCommand[] = [
  ...healthCommands,
  ...accessCopyCommands,
  ...accessReplicaCommands,
  ...gcCommands,
  ...gcRunCommands,
]

export const COMMANDS: Readonly<Record<DatabaseKind, readonly AnyCommand[]>> = {
  control: controlCommands,
  region: regionCommands,
}

/** Commands of one database kind by name. Throws when a name is given twice. */
export function commandsByName(commands: readonly AnyCommand[]): ReadonlyMap<string, AnyCommand> {
  const byName = new Map<string, AnyCommand>()
  for (const command of commands) {
    if (byName.has(command.name)) throw new Error(`two commands are named ${command.name}`)
    byName.set(command.name, command)
  }
  return byName
}
