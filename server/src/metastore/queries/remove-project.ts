import { type Kysely, sql } from 'kysely'
import { defineCommand } from '../database.ts'
import { lockRepository } from '../dialect.ts'
import type { GcTaskRow, RegionSchema } from '../region-schema.ts'
import type { GcOutcome, GcTimes } from './gc.ts'
import { deleteGcTask, enqueueGcTask } from './gc-task.ts'
import { forgetIdleBlob } from './idle-blob.ts'

/** Rows of a deleted project that one transaction removes. */
const PROJECT_ROWS_PER_STEP = 500

/** What has rows of a repository, with the column that tells them apart; what others refer to comes last. */
const REPOSITORY_TABLES = [
  ['tag', 'name'],
  ['tag_history', 'tag'],
  ['trashed_tag', 'digest'],
  ['last_pull', 'reference'],
  ['image_hold', 'digest'],
  ['cached_tag', 'name'],
  ['untagged_manifest', 'digest'],
  ['manifest_reference', 'manifest_digest'],
  ['manifest', 'digest'],
  ['repository_blob', 'digest'],
] as const

/**
 * Removes a deleted project's data, some rows at a time. Its blobs skip the trash's waiting time: the deletion was
 * confirmed by name. The task stays until nothing is left.
 */
export const removeProjectData = defineCommand(
  'gc.removeProjectData',
  async (tx: Kysely<RegionSchema>, args: { task: GcTaskRow; times: GcTimes }): Promise<GcOutcome> => {
    const { task, times } = args
    const project = await tx
      .selectFrom('access_project')
      .select('deleted_at')
      .where('id', '=', task.project_id)
      .executeTakeFirst()
    if (project !== undefined && project.deleted_at === null) {
      await deleteGcTask(tx, task)
      return { did: 'kept', why: 'the project is not deleted' }
    }
    const repository = await tx
      .selectFrom('repository')
      .select('id')
      .where('project_id', '=', task.project_id)
      .limit(1)
      .executeTakeFirst()
    const rows =
      repository === undefined
        ? await removeProjectRemains(tx, task.project_id, times)
        : await removeRepositoryRows(tx, repository.id)
    if (rows === 0) {
      await deleteGcTask(tx, task)
      return { did: 'advanced', rows, why: 'the project was deleted; nothing of it is left' }
    }
    return { did: 'advanced', rows, why: 'the project was deleted' }
  },
)

async function removeRepositoryRows(tx: Kysely<RegionSchema>, repositoryId: number): Promise<number> {
  await lockRepository(tx, repositoryId)
  for (const [table, column] of REPOSITORY_TABLES) {
    const keys = await sql<{
      key: string
    }>`select distinct ${sql.ref(column)} as key from ${sql.table(table)} where repository_id = ${repositoryId} limit ${PROJECT_ROWS_PER_STEP}`.execute(
      tx,
    )
    if (keys.rows.length === 0) continue
    await sql`delete from ${sql.table(table)} where repository_id = ${repositoryId} and ${sql.ref(column)} in (${sql.join(keys.rows.map((row) => row.key))})`.execute(
      tx,
    )
    return keys.rows.length
  }
  await tx.deleteFrom('gc_task').where('repository_id', '=', repositoryId).execute()
  await tx.deleteFrom('repository').where('id', '=', repositoryId).execute()
  return 1
}

async function removeProjectRemains(
  tx: Kysely<RegionSchema>,
  projectId: string,
  times: GcTimes,
): Promise<number> {
  const blobs = await tx
    .selectFrom('blob')
    .select('id')
    .where('project_id', '=', projectId)
    .where((eb) => eb.or([eb('state', '=', 'live'), eb('purge_at', '>', times.nowMs)]))
    .limit(PROJECT_ROWS_PER_STEP)
    .execute()
  for (const blob of blobs) {
    await forgetIdleBlob(tx, blob.id)
    await tx
      .updateTable('blob')
      .set({ state: 'trashed', trashed_at: times.nowMs, purge_at: times.nowMs })
      .where('id', '=', blob.id)
      .execute()
    await enqueueGcTask(
      tx,
      { kind: 'purge_blob', projectId, blobId: blob.id },
      { dueAt: times.nowMs, reason: 'its project was deleted' },
    )
  }
  if (blobs.length === 0) {
    for (const table of ['project_usage', 'retention_run'] as const)
      await tx.deleteFrom(table).where('project_id', '=', projectId).execute()
  }
  return blobs.length
}

export const removeProjectCommands = [removeProjectData]
