import type { DatabaseKind } from './database.ts'
import { accessCopyCommands } from './queries/access-copy.ts'
import { accessReplicaCommands } from './queries/access-replica.ts'
import { apiKeyCommands } from './queries/api-key.ts'
import { blobCommands } from './queries/blob.ts'
import { deleteRepositoryCommands } from './queries/delete-repository.ts'
import { deletedProjectCommands } from './queries/deleted-project.ts'
import { gcRunCommands } from './queries/gc-run.ts'
import { gcCommands } from './queries/gc.ts'
import { healthCommands } from './queries/health.ts'
import { installationCommands } from './queries/installation.ts'
import { manifestCommands } from './queries/manifest.ts'
import { projectCommands } from './queries/project.ts'
import { regionRecordCommands } from './queries/region.ts'
import { restoreTagCommands } from './queries/restore-tag.ts'
import { tagCommands } from './queries/tag.ts'

/** A command whose types are not known any more: what the registry below holds. */
export interface AnyCommand {
  readonly name: string
  readonly execute: (tx: never, args: never) => Promise<unknown>
}

/**
 * All commands by database kind. The SQLite writer thread finds commands here by their name, so a command that is
 * not listed cannot run. Each file of `queries/` exports its own array; add it here.
 */
export const controlCommands: readonly AnyCommand[] = [
  ...healthCommands,
  ...installationCommands,
  ...regionRecordCommands,
  ...projectCommands,
  ...apiKeyCommands,
]

export const regionCommands: readonly AnyCommand[] = [
  ...healthCommands,
  ...accessCopyCommands,
  ...accessReplicaCommands,
  ...gcCommands,
  ...gcRunCommands,
  ...blobCommands,
  ...manifestCommands,
  ...tagCommands,
  ...restoreTagCommands,
  ...deleteRepositoryCommands,
  ...deletedProjectCommands,
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
