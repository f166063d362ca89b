import { type Kysely, sql } from 'kysely'
import { defineCommand } from '../database.ts'
import type { RegionSchema } from '../region-schema.ts'

/**
 * Queues the removal of the data of every deleted project that still has some here. To be run after a deletion was
 * applied, and again from time to time: a process may have died between the two. Answers how many were queued.
 */
export const enqueueDeletedProjects = defineCommand<
  RegionSchema,
  { readonly nowMs: number },
  { readonly queued: number }
>('project.enqueue_deleted', async (tx, { nowMs }) => {
  const inserted = await sql`
    insert into gc_task (kind, target, project_id, repository_id, digest, blob_id, due_at, reason)
    select 'project', 'project/' || access_project.id, access_project.id, null, null, null,
      cast(${nowMs} as bigint), 'project_deleted'
    from access_project
    where access_project.deleted_at is not null and (
      exists (select 1 from repository where repository.project_id = access_project.id)
      or exists (select 1 from project_usage where project_usage.project_id = access_project.id)
      or exists (select 1 from blob where blob.project_id = access_project.id and blob.state = 'live')
    )
    on conflict (target) do nothing`.execute(tx)
  return { queued: Number(inserted.numAffectedRows ?? 0n) }
})

/**
 * Whether nothing of a deleted project is left here: no repository, no content in whatever state (the trash included),
 * and no removal under way. It stays so, for nothing can be pushed to it any more.
 */
export async function isProjectGone(reader: Kysely<RegionSchema>, projectId: string): Promise<boolean> {
  const left = await sql<{ one: number }>`
    select 1 as one where exists (select 1 from repository where repository.project_id = ${projectId})
      or exists (select 1 from blob where blob.project_id = ${projectId})
      or exists (select 1 from gc_task where gc_task.target = ${`project/${projectId}`})
      or not exists (
        select 1 from access_project
        where access_project.id = ${projectId} and access_project.deleted_at is not null
      )`.execute(reader)
  return left.rows.length === 0
}

export const deletedProjectCommands = [enqueueDeletedProjects]
