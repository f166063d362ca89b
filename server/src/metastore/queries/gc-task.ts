import { sql, type Kysely } from 'kysely'
import type { GcTaskRow, RegionSchema } from '../region-schema.ts'
import { prepareQuery } from './prepared-query.ts'

/** Something that garbage collection must look at, because it may have lost its last reference. */
export type GcTarget =
  | {
      readonly kind: 'membership'
      readonly projectId: string
      readonly repositoryId: number
      readonly digest: string
    }
  | {
      readonly kind: 'purge_manifest'
      readonly projectId: string
      readonly repositoryId: number
      readonly digest: string
    }
  | { readonly kind: 'blob' | 'purge_blob'; readonly projectId: string; readonly blobId: number }
  | { readonly kind: 'project'; readonly projectId: string }

interface GcTaskValues {
  readonly kind: GcTarget['kind']
  readonly target: string
  readonly projectId: string
  readonly repositoryId: number | null
  readonly digest: string | null
  readonly blobId: number | null
  readonly dueAt: number
  readonly reason: string
}

const upsertTask = prepareQuery<RegionSchema, GcTaskValues>()((db, p) =>
  db
    .insertInto('gc_task')
    .values({
      kind: p('kind'),
      target: p('target'),
      project_id: p('projectId'),
      repository_id: p('repositoryId'),
      digest: p('digest'),
      blob_id: p('blobId'),
      due_at: p('dueAt'),
      reason: p('reason'),
    })
    .onConflict((conflict) =>
      conflict.column('target').doUpdateSet({
        due_at: sql<number>`case when excluded.due_at < gc_task.due_at then excluded.due_at else gc_task.due_at end`,
        reason: sql<string>`case when excluded.due_at < gc_task.due_at then excluded.reason else gc_task.reason end`,
      }),
    ),
)

/**
 * Enqueues a look at `target`, inside the transaction that gave the reason. A target that is queued already keeps one
 * row, due at the earlier of the two times: looking too early only puts the task back.
 */
export async function enqueueGcTask(
  tx: Kysely<RegionSchema>,
  target: GcTarget,
  when: { dueAt: number; reason: string },
): Promise<void> {
  await upsertTask.run(tx, {
    kind: target.kind,
    target: gcTargetName(target),
    projectId: target.projectId,
    repositoryId: 'repositoryId' in target ? target.repositoryId : null,
    digest: 'digest' in target ? target.digest : null,
    blobId: 'blobId' in target ? target.blobId : null,
    ...when,
  })
}

/** Takes a task off the queue: what it is about was dealt with. */
export async function deleteGcTask(tx: Kysely<RegionSchema>, task: GcTaskRow): Promise<void> {
  await tx.deleteFrom('gc_task').where('id', '=', task.id).execute()
}

function gcTargetName(target: GcTarget): string {
  switch (target.kind) {
    case 'membership':
    case 'purge_manifest':
      return `${target.kind}/${target.repositoryId}/${target.digest}`
    case 'blob':
    case 'purge_blob':
      return `${target.kind}/${target.blobId}`
    case 'project':
      return `project/${target.projectId}`
  }
}
