import {
  insertProjectKey,
  loadNewestProjectKey,
  sealedKeyVersion,
} from '../../metastore/queries/project-key.ts'
import { dropUnusedKeys, replaceSealed } from '../../metastore/queries/rekey.ts'
import {
  SEALED_COLUMNS,
  type SealedColumn,
  type SealedRecord,
} from '../../metastore/queries/sealed-column.ts'
import { VaultError } from '../../vault/aead.ts'
import { newProjectKey } from '../../vault/project-key.ts'
import type { ControlRuntime } from '../runtime.ts'

/** Secrets that are read at once. */
const SECRET_BATCH = 50
/** How often the same secrets are looked for again because somebody changed them. */
const ROUNDS = 20

export interface RekeyedProject {
  readonly secrets: number
  /** What cannot be opened, by column and record. */
  readonly unreadable: readonly string[]
  readonly pendingRegions: readonly string[]
  /** Nothing needs a key from before any more. */
  readonly finished: boolean
}

/**
 * Gives one project after the other a new key: makes it, seals each secret anew, waits until the regions know, and
 * deletes the keys from before that nothing needs. Every step leaves all secrets readable, and finds out by itself
 * what the steps before have done.
 */
export function createProjectRekeyer(
  runtime: ControlRuntime,
  startedAt: number,
): (projectId: string) => Promise<RekeyedProject> {
  const { db } = runtime

  return async (projectId) => {
    const version = await ensureNewKey(runtime, projectId, startedAt)
    // The project was deleted meanwhile, and its keys and secrets with it.
    if (version === null) return { secrets: 0, unreadable: [], pendingRegions: [], finished: true }
    let secrets = 0
    let lastSeq: number | null = null
    const unreadable = new Set<string>()
    for (const column of SEALED_COLUMNS) {
      for (let round = 0; round < ROUNDS; round++) {
        const records = await column.listOthers(db.reader, projectId, version, SECRET_BATCH)
        const open = records.filter(({ id }) => !unreadable.has(`${column.name} ${id}`))
        if (open.length === 0) break
        for (const record of open) {
          const outcome = await resealOne(runtime, column, record)
          if (outcome === 'unreadable') unreadable.add(`${column.name} ${record.id}`)
          else if (outcome !== 'changed') {
            secrets += 1
            lastSeq = outcome.seq ?? lastSeq
          }
        }
      }
    }
    // A region that still has the secret as it was sealed before needs the key from before.
    const pendingRegions =
      lastSeq === null ? [] : (await runtime.revocation.waitUntilApplied(lastSeq)).pendingRegions
    if (pendingRegions.length > 0)
      return { secrets, unreadable: [...unreadable], pendingRegions, finished: false }
    const { kept } = await db.run(dropUnusedKeys, { projectId })
    return { secrets, unreadable: [...unreadable], pendingRegions, finished: kept === 0 }
  }
}

/** The version of the project's newest key, made now unless it was made since the start. Null: it has none. */
async function ensureNewKey(
  { db, rootKeys }: ControlRuntime,
  projectId: string,
  startedAt: number,
): Promise<number | null> {
  const newest = await loadNewestProjectKey(db.reader, projectId)
  if (newest === null) return null
  if (newest.created_at >= startedAt) return newest.version
  const key = newProjectKey(projectId, newest.version + 1, rootKeys.current)
  const nowMs = Math.max(startedAt, await db.nowMs())
  const outcome = await db.run(insertProjectKey, { key, nowMs })
  switch (outcome) {
    case 'inserted':
      return key.version
    case 'exists':
      return (await loadNewestProjectKey(db.reader, projectId))?.version ?? null
    case 'project_not_found':
      return null
    case 'root_changed':
      throw new VaultError('The root key was changed during a re-keying.')
  }
}

/** Opens a secret and puts it back, sealed with the newest key. */
async function resealOne(
  { db, vault, log }: ControlRuntime,
  column: SealedColumn,
  { id, context, sealed }: SealedRecord,
): Promise<{ seq: number | null } | 'changed' | 'unreadable'> {
  let plaintext: Uint8Array
  try {
    plaintext = await vault.open(context, sealed)
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    log.error({ record: context.record, project: context.projectId, err: error }, 'a secret cannot be opened')
    return 'unreadable'
  }
  const after = await vault.seal(context, plaintext)
  plaintext.fill(0)
  const { outcome, seq } = await db.run(replaceSealed, {
    column: column.name,
    projectId: context.projectId,
    id,
    before: sealed,
    after,
    nowMs: await db.nowMs(),
  })
  log.debug(
    { record: context.record, keyVersion: sealedKeyVersion(after), outcome },
    'a secret was sealed anew',
  )
  return outcome === 'replaced' ? { seq } : 'changed'
}
