import type { Kysely } from 'kysely'
import { listDueGcTasks, membershipHeldBy } from '../metastore/queries/gc.ts'
import type { GcTaskRow, RegionSchema } from '../metastore/region-schema.ts'

/** Something that a cycle would remove now. */
export interface GcCandidate {
  readonly kind: GcTaskRow['kind']
  readonly projectId: string
  /** Path below the project's namespace. */
  readonly repository: string | null
  readonly digest: string | null
  readonly sizeBytes: number | null
  /** Why it is unreachable. */
  readonly reason: string
}

export interface GcPreview {
  readonly examined: number
  readonly candidates: readonly GcCandidate[]
}

/** Due tasks that one preview looks at. */
const PREVIEW_TASKS = 1_000

/**
 * What a cycle would remove now, without removing it. One step only: blobs that would lose their last repository in the
 * same cycle are named as memberships, not a second time as blobs.
 */
export async function previewGc(db: Kysely<RegionSchema>, nowMs: number): Promise<GcPreview> {
  const tasks = await listDueGcTasks(db, nowMs, PREVIEW_TASKS)
  const candidates: GcCandidate[] = []
  for (const task of tasks) {
    const candidate = await candidateOf(db, task, nowMs)
    if (candidate !== null) candidates.push(candidate)
  }
  return { examined: tasks.length, candidates }
}

async function candidateOf(
  db: Kysely<RegionSchema>,
  task: GcTaskRow,
  nowMs: number,
): Promise<GcCandidate | null> {
  switch (task.kind) {
    case 'membership':
      return membershipCandidate(db, task, nowMs)
    case 'blob':
      return blobCandidate(db, task, 'live', `no repository of the project has it (${task.reason})`)
    case 'purge_blob':
      return blobCandidate(db, task, 'trashed', task.reason)
    case 'purge_manifest':
      return manifestCandidate(db, task, nowMs)
    case 'project':
      return {
        kind: task.kind,
        projectId: task.project_id,
        repository: null,
        digest: null,
        sizeBytes: null,
        reason: 'the project was deleted',
      }
  }
}

async function membershipCandidate(
  db: Kysely<RegionSchema>,
  task: GcTaskRow,
  nowMs: number,
): Promise<GcCandidate | null> {
  const row = await db
    .selectFrom('repository_blob')
    .innerJoin('repository', 'repository.id', 'repository_blob.repository_id')
    .innerJoin('blob', 'blob.id', 'repository_blob.blob_id')
    .select(['repository.path', 'blob.size_bytes', 'repository_blob.leased_until'])
    .where('repository_blob.repository_id', '=', task.repository_id ?? 0)
    .where('repository_blob.digest', '=', task.digest ?? '')
    .executeTakeFirst()
  if (row === undefined || row.leased_until > nowMs) return null
  if ((await membershipHeldBy(db, task.repository_id ?? 0, task.digest ?? '')) !== null) return null
  return {
    kind: task.kind,
    projectId: task.project_id,
    repository: row.path,
    digest: task.digest,
    sizeBytes: row.size_bytes,
    reason: `no manifest of the repository refers to it and its lease ended (${task.reason})`,
  }
}

async function blobCandidate(
  db: Kysely<RegionSchema>,
  task: GcTaskRow,
  state: 'live' | 'trashed',
  reason: string,
): Promise<GcCandidate | null> {
  const blob = await db
    .selectFrom('blob')
    .select(['digest', 'size_bytes', 'state'])
    .where('id', '=', task.blob_id ?? 0)
    .executeTakeFirst()
  if (blob === undefined || blob.state !== state) return null
  const member = await db
    .selectFrom('repository_blob')
    .select('repository_id')
    .where('blob_id', '=', task.blob_id ?? 0)
    .limit(1)
    .executeTakeFirst()
  if (member !== undefined) return null
  return {
    kind: task.kind,
    projectId: task.project_id,
    repository: null,
    digest: blob.digest,
    sizeBytes: blob.size_bytes,
    reason,
  }
}

async function manifestCandidate(
  db: Kysely<RegionSchema>,
  task: GcTaskRow,
  nowMs: number,
): Promise<GcCandidate | null> {
  const row = await db
    .selectFrom('manifest')
    .innerJoin('repository', 'repository.id', 'manifest.repository_id')
    .select(['repository.path', 'manifest.size_bytes', 'manifest.deleted_at', 'manifest.purge_at'])
    .where('manifest.repository_id', '=', task.repository_id ?? 0)
    .where('manifest.digest', '=', task.digest ?? '')
    .executeTakeFirst()
  if (row === undefined || row.deleted_at === null || (row.purge_at ?? 0) > nowMs) return null
  return {
    kind: task.kind,
    projectId: task.project_id,
    repository: row.path,
    digest: task.digest,
    sizeBytes: row.size_bytes,
    reason: 'it was deleted and its time in the trash has ended',
  }
}
