import { sql } from 'kysely'
import { type AnyCommand, COMMANDS as PRODUCT_COMMANDS } from './commands.ts'
import { defineCommand, Rollback } from './database.ts'
import { dialectOf, lockForUpdate } from './dialect.ts'
import type { RegionSchema } from './region-schema.ts'

/*
 * Commands of the contract suite, over tables of the region's schema. This module takes the place of `commands.ts`
 * in the writer thread of the tests.
 */

/** Reads, then writes what it read plus one: loses updates unless rows are locked or writers take turns. */
export const increment = defineCommand<RegionSchema, { projectId: string }, number>(
  'contract.increment',
  async (tx, { projectId }) => {
    const query = tx.selectFrom('project_usage').select('used_bytes').where('project_id', '=', projectId)
    const row = await lockForUpdate(query, dialectOf(tx)).executeTakeFirstOrThrow()
    const value = row.used_bytes + 1
    await tx
      .updateTable('project_usage')
      .set({ used_bytes: value })
      .where('project_id', '=', projectId)
      .execute()
    return value
  },
)

export const setUsage = defineCommand<RegionSchema, { projectId: string; usedBytes: number }, void>(
  'contract.set_usage',
  async (tx, { projectId, usedBytes }) => {
    await tx
      .insertInto('project_usage')
      .values({ project_id: projectId, used_bytes: usedBytes })
      .onConflict((conflict) => conflict.column('project_id').doUpdateSet({ used_bytes: usedBytes }))
      .execute()
  },
)

export type Ending = 'return' | 'throw' | 'rollback' | 'duplicate' | 'swallowed duplicate'

/** Writes two rows and then ends as it is told. */
export const writeTwice = defineCommand<
  RegionSchema,
  { projectIds: [string, string]; ending: Ending },
  string
>('contract.write_twice', async (tx, { projectIds, ending }) => {
  const insert = async (projectId: string) => {
    await tx.insertInto('project_usage').values({ project_id: projectId, used_bytes: 1 }).execute()
  }
  for (const projectId of projectIds) await insert(projectId)
  if (ending === 'throw') throw new Error('a mistake in the command')
  if (ending === 'rollback') throw new Rollback('undone')
  if (ending === 'duplicate') await insert(projectIds[0])
  if (ending === 'swallowed duplicate') await insert(projectIds[0]).catch(() => undefined)
  return 'done'
})

export interface BlobArgs {
  readonly projectId: string
  readonly digest: string
  readonly content: Uint8Array
  readonly sizeBytes: number
}

export const storeBlob = defineCommand<RegionSchema, BlobArgs, number>(
  'contract.store_blob',
  async (tx, args) => {
    const row = await tx
      .insertInto('blob')
      .values({
        project_id: args.projectId,
        digest: args.digest,
        size_bytes: args.sizeBytes,
        storage_key: null,
        content: args.content,
        state: 'live',
        created_at: 1,
        trashed_at: null,
        purge_at: null,
      })
      .returning('id')
      .executeTakeFirstOrThrow()
    return row.id
  },
)

export const trashBlob = defineCommand<RegionSchema, { id: number }, number>(
  'contract.trash_blob',
  async (tx, { id }) => {
    const result = await tx
      .updateTable('blob')
      .set({ state: 'trashed' })
      .where('id', '=', id)
      .executeTakeFirst()
    return Number(result.numUpdatedRows)
  },
)

export const addRepositories = defineCommand<RegionSchema, { projectId: string; paths: string[] }, void>(
  'contract.add_repositories',
  async (tx, { projectId, paths }) => {
    const rows = paths.map((path) => ({ project_id: projectId, path, created_at: 1 }))
    await tx.insertInto('repository').values(rows).execute()
  },
)

/** A tag of a manifest that is not there. */
export const danglingTag = defineCommand<RegionSchema, { repositoryId: number }, void>(
  'contract.dangling_tag',
  async (tx, { repositoryId }) => {
    await tx
      .insertInto('tag')
      .values({ repository_id: repositoryId, name: 'latest', digest: 'none', version: 1, updated_at: 1 })
      .execute()
  },
)

/** Locks two counters in the given order: two of these with opposite orders meet in a deadlock on PostgreSQL. */
export const moveUsage = defineCommand<RegionSchema, { from: string; to: string }, void>(
  'contract.move_usage',
  async (tx, { from, to }) => {
    for (const [projectId, delta] of [
      [from, -1],
      [to, 1],
    ] as const) {
      await tx
        .updateTable('project_usage')
        .set({ used_bytes: sql`used_bytes + ${delta}` })
        .where('project_id', '=', projectId)
        .execute()
    }
  },
)

export const appendEvent = defineCommand<RegionSchema, { projectId: string; requestId: string }, number>(
  'contract.append_event',
  async (tx, { projectId, requestId }) => {
    const row = await tx
      .insertInto('audit_event')
      .values({
        project_id: projectId,
        at: 1,
        actor: 'contract',
        action: 'append',
        target: '',
        detail: '{}',
        request_id: requestId,
      })
      .returning('id')
      .executeTakeFirstOrThrow()
    return row.id
  },
)

export const contractCommands: readonly AnyCommand[] = [
  increment,
  setUsage,
  writeTwice,
  storeBlob,
  trashBlob,
  addRepositories,
  danglingTag,
  moveUsage,
  appendEvent,
]

export const COMMANDS = {
  control: PRODUCT_COMMANDS.control,
  region: [...PRODUCT_COMMANDS.region, ...contractCommands],
}
