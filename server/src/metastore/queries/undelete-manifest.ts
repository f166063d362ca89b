import { type Kysely, sql } from 'kysely'
import { defineCommand, Rollback } from '../database.ts'
import type { RegionSchema } from '../region-schema.ts'
import { attachedTagPrefix, subjectOfAttachedTag } from '../attached-tag.ts'
import { reviveBlobs } from './idle-blob.ts'
import { findMovedImmutableTag, type ImmutablePatterns, type ImmutableTag } from './immutable-tag.ts'
import { selectManifestState, takeOutOfTrash } from './manifest.ts'
import { insertRegionAudit } from './region-audit.ts'
import { lockRepositoryAt } from './repository.ts'
import { writeTag } from './tag.ts'
import { changeUsage, checkQuota, type ProjectUsage, type QuotaRefusal } from './usage.ts'
import { mayStillWrite, type WriteContext } from './write-context.ts'

export interface UndeleteManifestArgs extends WriteContext {
  readonly path: string
  readonly digest: string
  /** Tags to point at it; `former`: those that it lost when it was deleted and that do not exist now. */
  readonly tags: readonly string[] | 'former'
  readonly immutable: ImmutablePatterns
}

export type UndeleteManifestResult =
  | {
      readonly ok: true
      readonly usage: ProjectUsage
      readonly tags: readonly string[]
      /** Manifests that came back with it. */
      readonly parts: readonly string[]
    }
  | { readonly ok: false; readonly reason: 'revoked' | 'no_repository' | 'not_in_trash' | 'project_deleted' }
  | QuotaRefusal
  | ({ readonly ok: false; readonly reason: 'immutable_tag' } & ImmutableTag)
  /** Something that it refers to is gone for good: push that first. */
  | { readonly ok: false; readonly reason: 'incomplete'; readonly digests: readonly string[] }

/**
 * Takes a manifest out of the trash, with what it lists that is in the trash, too, and the artifacts that went there
 * together with it. Points tags at it. What it refers to must all be there.
 */
export const undeleteManifest = defineCommand(
  'manifest.undelete',
  async (tx: Kysely<RegionSchema>, args: UndeleteManifestArgs): Promise<UndeleteManifestResult> => {
    if (!(await mayStillWrite(tx, args))) return { ok: false, reason: 'revoked' }
    const { projectId, path, digest, nowMs, actor } = args
    const repositoryId = await lockRepositoryAt(tx, projectId, path)
    if (repositoryId === null) return { ok: false, reason: 'no_repository' }
    const manifest = await selectManifestState.first(tx, { repositoryId, digest })
    if (manifest === undefined || manifest.deleted_at === null) return { ok: false, reason: 'not_in_trash' }

    const parts = await listTrashedParts(tx, { repositoryId, digest, deletedAt: manifest.deleted_at })
    const all = [digest, ...parts]
    const former = await listTrashedTags(tx, repositoryId, all)
    const tagsOf = (of: string) => {
      if (of !== digest) return (former.get(of) ?? []).filter((tag) => subjectOfAttachedTag(tag) !== null)
      return args.tags === 'former' ? (former.get(of) ?? []) : args.tags
    }
    const missing = await listMissingTargets(tx, repositoryId, all)
    if (missing.length > 0) return { ok: false, reason: 'incomplete', digests: missing }
    const moved = await findMovedImmutableTag(tx, { ...args, repositoryId, tags: tagsOf(digest) })
    if (moved !== null && args.tags !== 'former') return { ok: false, reason: 'immutable_tag', ...moved }

    const settled = await restore(tx, { projectId, repositoryId, digests: all, nowMs })
    if (!settled.ok) throw new Rollback(settled)
    const tags: string[] = []
    for (const restored of all) {
      const keepsTaken = args.tags === 'former' || restored !== digest
      for (const tag of tagsOf(restored)) {
        if (keepsTaken && (await isTaken(tx, repositoryId, tag))) continue
        await writeTag(tx, { repositoryId, tag, digest: restored, nowMs, actor })
        tags.push(tag)
      }
    }
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor,
      action: 'manifest.undelete',
      target: `${path}@${digest}`,
      detail: { tags, ...(parts.length === 0 ? {} : { parts }) },
      requestId: args.requestId,
    })
    return { ok: true, usage: settled.usage, tags, parts }
  },
)

async function restore(
  tx: Kysely<RegionSchema>,
  target: { projectId: string; repositoryId: number; digests: readonly string[]; nowMs: number },
) {
  const { projectId, repositoryId } = target
  const { rows } = await sql<{ bytes: number }>`
    select sum(size_bytes) as bytes from manifest
    where repository_id = ${repositoryId} and digest in (${sql.join([...target.digests])})`.execute(tx)
  const manifestBytes = Number(rows[0]?.bytes ?? 0)
  await takeOutOfTrash(tx, target)
  await changeUsage(tx, projectId, { usedBytes: manifestBytes, trashedBytes: -manifestBytes })
  const edges = await tx
    .selectFrom('manifest_reference')
    .select('target_digest')
    .distinct()
    .where('repository_id', '=', repositoryId)
    .where('manifest_digest', 'in', [...target.digests])
    .where('target_kind', '=', 'blob')
    .execute()
  const digests = edges.map((row) => row.target_digest)
  const bytes = manifestBytes + (await reviveBlobs(tx, { projectId, repositoryId, digests }))
  return checkQuota(tx, projectId, { usedBytes: bytes, trashedBytes: -bytes })
}

/** Manifests that one undelete takes along at most. */
const MAX_RESTORED = 1_000

/** What is in the trash and listed by the manifest, at any depth, or went there with it and refers to it. */
async function listTrashedParts(
  tx: Kysely<RegionSchema>,
  target: { repositoryId: number; digest: string; deletedAt: number },
): Promise<string[]> {
  const found = new Set([target.digest])
  for (const digest of found) {
    const prefix = attachedTagPrefix(digest)
    const { rows } = await sql<{ digest: string }>`
      select manifest.digest from manifest_reference edge
        join manifest on manifest.repository_id = edge.repository_id and manifest.digest = edge.target_digest
        where edge.repository_id = ${target.repositoryId} and edge.manifest_digest = ${digest}
          and edge.target_kind = 'manifest' and manifest.deleted_at is not null
      union
      select digest from manifest where repository_id = ${target.repositoryId} and subject_digest = ${digest}
        and deleted_at = ${target.deletedAt}
      union
      select trashed_tag.digest from trashed_tag
        where repository_id = ${target.repositoryId}
          and tag >= ${prefix} and tag < ${`${prefix}/`}`.execute(tx)
    for (const row of rows) if (found.size <= MAX_RESTORED) found.add(row.digest)
  }
  found.delete(target.digest)
  return [...found]
}

/** Tags that manifests in the trash had, by digest. */
export async function listTrashedTags(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  digests: readonly string[],
): Promise<ReadonlyMap<string, string[]>> {
  const byDigest = new Map<string, string[]>()
  if (digests.length === 0) return byDigest
  const rows = await db
    .selectFrom('trashed_tag')
    .select(['digest', 'tag'])
    .where('repository_id', '=', repositoryId)
    .where('digest', 'in', [...digests])
    .orderBy('digest')
    .orderBy('tag')
    .execute()
  for (const { digest, tag } of rows) {
    const tags = byDigest.get(digest)
    if (tags === undefined) byDigest.set(digest, [tag])
    else tags.push(tag)
  }
  return byDigest
}

/** Targets of the manifests' edges that the repository does not have, and that do not come back with them. */
async function listMissingTargets(
  tx: Kysely<RegionSchema>,
  repositoryId: number,
  manifestDigests: readonly string[],
): Promise<string[]> {
  const rows = await sql<{ digest: string }>`
    select distinct edge.target_digest as digest
    from manifest_reference edge
    left join repository_blob member
      on edge.target_kind = 'blob' and member.repository_id = edge.repository_id and member.digest = edge.target_digest
    left join manifest child
      on edge.target_kind = 'manifest' and child.repository_id = edge.repository_id
      and child.digest = edge.target_digest
    where edge.repository_id = ${repositoryId} and edge.manifest_digest in (${sql.join([...manifestDigests])})
      and member.digest is null and (child.digest is null
        or (child.deleted_at is not null and child.digest not in (${sql.join([...manifestDigests])})))
    order by edge.target_digest`.execute(tx)
  return rows.rows.map((row) => row.digest)
}

async function isTaken(tx: Kysely<RegionSchema>, repositoryId: number, name: string): Promise<boolean> {
  const row = await tx
    .selectFrom('tag')
    .select('name')
    .where('repository_id', '=', repositoryId)
    .where('name', '=', name)
    .executeTakeFirst()
  return row !== undefined
}

export const undeleteManifestCommands = [undeleteManifest]
