import { type Kysely, sql } from 'kysely'
import { defineCommand, Rollback } from '../database.ts'
import { dialectOf } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'
import { loadLiveReferrer } from './blob.ts'
import { enqueueGcTask } from './gc-task.ts'
import { prepareQuery } from './prepared-query.ts'
import { insertRegionAudit } from './region-audit.ts'
import { ensureRepository, lockRepositoryAt } from './repository.ts'
import { removeTagsOf, writeTag } from './tag.ts'
import { changeUsage, type ProjectUsage, settleUsage } from './usage.ts'
import { mayStillWrite, type WriteContext } from './write-context.ts'

/** Content that a manifest refers to. */
export interface ManifestTarget {
  readonly digest: string
  readonly sizeBytes: number
}

export interface PushManifestArgs extends WriteContext {
  readonly path: string
  readonly digest: string
  readonly mediaType: string
  readonly kind: 'image' | 'index'
  readonly artifactType: string | null
  readonly subjectDigest: string | null
  /** JSON object or null. */
  readonly annotations: string | null
  readonly content: Uint8Array
  /** Must be in the repository, with these sizes. */
  readonly blobs: readonly ManifestTarget[]
  /** May be missing: non-distributable layers. */
  readonly optionalBlobs: readonly ManifestTarget[]
  readonly children: readonly ManifestTarget[]
  /** Children may be missing. */
  readonly allowSparse: boolean
  readonly tags: readonly string[]
}

export type PushManifestResult =
  | { readonly ok: true; readonly usage: ProjectUsage }
  | { readonly ok: false; readonly reason: 'revoked' | 'project_deleted' }
  | { readonly ok: false; readonly reason: 'over_quota'; readonly usage: ProjectUsage }
  | { readonly ok: false; readonly reason: 'unknown_content'; readonly digests: readonly string[] }
  | {
      readonly ok: false
      readonly reason: 'wrong_size'
      readonly digest: string
      readonly claimedBytes: number
      readonly sizeBytes: number
    }

/**
 * Stores a manifest with everything that belongs to it: checks of what it refers to, edges, tags with their history,
 * usage, audit. Content that is in the trash comes back from it. All or nothing, under the repository's lock.
 */
export const pushManifest = defineCommand(
  'manifest.push',
  async (tx: Kysely<RegionSchema>, args: PushManifestArgs): Promise<PushManifestResult> => {
    if (!(await mayStillWrite(tx, args))) return { ok: false, reason: 'revoked' }
    const { projectId, path, digest, nowMs, actor } = args
    const repositoryId = await ensureRepository(tx, projectId, path, nowMs)

    const present = await checkTargets(tx, repositoryId, args)
    if (!present.ok) throw new Rollback(present.result)
    const addedBytes = await storeManifest(tx, repositoryId, args)
    await storeEdges(tx, repositoryId, digest, present)
    for (const tag of args.tags) await writeTag(tx, { repositoryId, tag, digest, nowMs, actor })
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor,
      action: 'manifest.push',
      target: `${path}@${digest}`,
      detail: { mediaType: args.mediaType, sizeBytes: args.content.byteLength, tags: args.tags },
      requestId: args.requestId,
    })
    const settled = await settleUsage(tx, projectId, addedBytes)
    if (!settled.ok) throw new Rollback(settled)
    return { ok: true, usage: settled.usage }
  },
)

interface PresentTargets {
  readonly ok: true
  readonly blobs: readonly string[]
  readonly children: readonly string[]
}

/** Finds what of the references is here, or says what is wrong with them. */
async function checkTargets(
  tx: Kysely<RegionSchema>,
  repositoryId: number,
  args: PushManifestArgs,
): Promise<PresentTargets | { readonly ok: false; readonly result: PushManifestResult }> {
  const wantedBlobs = [...args.blobs, ...args.optionalBlobs]
  const blobs = await sizesOf(tx, selectBlobSizes, repositoryId, wantedBlobs)
  const children = await sizesOf(tx, selectManifestSizes, repositoryId, args.children)
  const missing = [
    ...args.blobs.filter((target) => !blobs.has(target.digest)),
    ...(args.allowSparse ? [] : args.children.filter((target) => !children.has(target.digest))),
  ]
  if (missing.length > 0) {
    const digests = missing.map((target) => target.digest)
    return { ok: false, result: { ok: false, reason: 'unknown_content', digests } }
  }
  const wrong =
    wrongSize(args.blobs, blobs) ?? wrongSize(args.optionalBlobs, blobs) ?? wrongSize(args.children, children)
  if (wrong !== null) return { ok: false, result: wrong }
  return { ok: true, blobs: [...blobs.keys()], children: [...children.keys()] }
}

function wrongSize(
  targets: readonly ManifestTarget[],
  sizes: ReadonlyMap<string, number>,
): PushManifestResult | null {
  for (const { digest, sizeBytes: claimedBytes } of targets) {
    const sizeBytes = sizes.get(digest)
    if (sizeBytes !== undefined && sizeBytes !== claimedBytes) {
      return { ok: false, reason: 'wrong_size', digest, claimedBytes, sizeBytes }
    }
  }
  return null
}

interface SizeQuery {
  readonly repositoryId: number
  /** JSON array of digests: one text, so that the statement is the same for any number of them. */
  readonly digests: string
}

const selectBlobSizes = prepareQuery<RegionSchema, SizeQuery>()((db, p) =>
  db
    .selectFrom('repository_blob')
    .innerJoin('blob', 'blob.id', 'repository_blob.blob_id')
    .select(['repository_blob.digest', 'blob.size_bytes as sizeBytes'])
    .where('repository_blob.repository_id', '=', p('repositoryId'))
    .where('repository_blob.digest', 'in', jsonElements(db, p('digests')))
    .where('blob.state', '=', 'live'),
)

const selectManifestSizes = prepareQuery<RegionSchema, SizeQuery>()((db, p) =>
  db
    .selectFrom('manifest')
    .select(['digest', 'size_bytes as sizeBytes'])
    .where('repository_id', '=', p('repositoryId'))
    .where('digest', 'in', jsonElements(db, p('digests')))
    .where('deleted_at', 'is', null),
)

async function sizesOf(
  tx: Kysely<RegionSchema>,
  query: typeof selectBlobSizes,
  repositoryId: number,
  targets: readonly ManifestTarget[],
): Promise<Map<string, number>> {
  if (targets.length === 0) return new Map()
  const digests = JSON.stringify(targets.map((target) => target.digest))
  const rows = await query.all(tx, { repositoryId, digests })
  return new Map(rows.map((row) => [row.digest, row.sizeBytes]))
}

/** A sub-select of the elements of a JSON array of strings. */
function jsonElements(db: Kysely<RegionSchema>, json: string) {
  return dialectOf(db) === 'postgres'
    ? sql<string>`(select jsonb_array_elements_text(cast(${json} as jsonb)))`
    : sql<string>`(select value from json_each(${json}))`
}

const selectManifestState = prepareQuery<RegionSchema, { repositoryId: number; digest: string }>()((db, p) =>
  db
    .selectFrom('manifest')
    .select(['deleted_at', 'size_bytes'])
    .where('repository_id', '=', p('repositoryId'))
    .where('digest', '=', p('digest')),
)

const insertManifest = prepareQuery<
  RegionSchema,
  Omit<PushManifestArgs, 'tags' | 'blobs' | 'children'> & { repositoryId: number; sizeBytes: number }
>()((db, p) =>
  db.insertInto('manifest').values({
    repository_id: p('repositoryId'),
    digest: p('digest'),
    media_type: p('mediaType'),
    kind: p('kind'),
    artifact_type: p('artifactType'),
    subject_digest: p('subjectDigest'),
    annotations: p('annotations'),
    size_bytes: p('sizeBytes'),
    content: p('content'),
    created_at: p('nowMs'),
    deleted_at: null,
    purge_at: null,
  }),
)

/** Writes the manifest's row, or takes it out of the trash. Answers by how many bytes the project's use grows. */
async function storeManifest(
  tx: Kysely<RegionSchema>,
  repositoryId: number,
  args: PushManifestArgs,
): Promise<number> {
  const sizeBytes = args.content.byteLength
  const known = await selectManifestState.first(tx, { repositoryId, digest: args.digest })
  if (known === undefined) {
    await insertManifest.run(tx, { ...args, repositoryId, sizeBytes })
    return sizeBytes
  }
  if (known.deleted_at === null) return 0
  await takeOutOfTrash(tx, repositoryId, args.digest)
  return sizeBytes
}

async function takeOutOfTrash(tx: Kysely<RegionSchema>, repositoryId: number, digest: string): Promise<void> {
  await tx
    .updateTable('manifest')
    .set({ deleted_at: null, purge_at: null })
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .execute()
}

const insertEdges = prepareQuery<
  RegionSchema,
  { repositoryId: number; digest: string; targets: string; kind: 'blob' | 'manifest' }
>()((db, p) => ({
  compile: () =>
    // `where true` tells SQLite that what follows belongs to the insert, not to a join.
    sql`
      insert into manifest_reference (repository_id, manifest_digest, target_digest, target_kind)
      select cast(${p('repositoryId')} as bigint), cast(${p('digest')} as text), element.value, cast(${p('kind')} as text)
      from ${
        dialectOf(db) === 'postgres'
          ? sql`jsonb_array_elements_text(cast(${p('targets')} as jsonb)) as element (value)`
          : sql`json_each(${p('targets')}) as element`
      } where true
      on conflict do nothing`.compile(db),
}))

async function storeEdges(
  tx: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
  present: PresentTargets,
): Promise<void> {
  for (const [kind, targets] of [
    ['blob', present.blobs],
    ['manifest', present.children],
  ] as const) {
    if (targets.length === 0) continue
    await insertEdges.run(tx, { repositoryId, digest, kind, targets: JSON.stringify(targets) })
  }
}

export type DeleteManifestResult =
  | { readonly ok: true; readonly tags: readonly string[] }
  | { readonly ok: false; readonly reason: 'revoked' | 'no_repository' | 'no_manifest' }
  | { readonly ok: false; readonly reason: 'referenced'; readonly manifestDigest: string }

/** Tags that an audit event names; the rest is in the tags' histories. */
const MAX_AUDITED_TAGS = 100

/**
 * Puts a manifest into the trash and removes its tags, unless an index of the repository lists it. Its edges stay
 * until it is purged, so that what it refers to is still there when it is undeleted.
 */
export const deleteManifest = defineCommand(
  'manifest.delete',
  async (
    tx: Kysely<RegionSchema>,
    args: WriteContext & { path: string; digest: string; trashMs: number },
  ): Promise<DeleteManifestResult> => {
    if (!(await mayStillWrite(tx, args))) return { ok: false, reason: 'revoked' }
    const { projectId, path, digest, nowMs, actor } = args
    const repositoryId = await lockRepositoryAt(tx, projectId, path)
    if (repositoryId === null) return { ok: false, reason: 'no_repository' }
    const manifest = await selectManifestState.first(tx, { repositoryId, digest })
    if (manifest === undefined || manifest.deleted_at !== null) return { ok: false, reason: 'no_manifest' }
    const manifestDigest = await loadLiveReferrer(tx, { repositoryId, digest, kind: 'manifest' })
    if (manifestDigest !== null) return { ok: false, reason: 'referenced', manifestDigest }

    const tags = await removeTagsOf(tx, { repositoryId, digest, nowMs, actor })
    const purgeAt = nowMs + args.trashMs
    await tx
      .updateTable('manifest')
      .set({ deleted_at: nowMs, purge_at: purgeAt })
      .where('repository_id', '=', repositoryId)
      .where('digest', '=', digest)
      .execute()
    await enqueueGcTask(
      tx,
      { kind: 'purge_manifest', projectId, repositoryId, digest },
      { dueAt: purgeAt, reason: 'its time in the trash has ended' },
    )
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor,
      action: 'manifest.delete',
      target: `${path}@${digest}`,
      detail: { tags: tags.slice(0, MAX_AUDITED_TAGS), tagCount: tags.length },
      requestId: args.requestId,
    })
    await changeUsage(tx, projectId, -manifest.size_bytes)
    return { ok: true, tags }
  },
)

export type UndeleteManifestResult =
  | { readonly ok: true; readonly usage: ProjectUsage }
  | { readonly ok: false; readonly reason: 'revoked' | 'no_repository' | 'not_in_trash' | 'project_deleted' }
  | { readonly ok: false; readonly reason: 'over_quota'; readonly usage: ProjectUsage }
  /** Something that it refers to was deleted since: restore or push that first. */
  | { readonly ok: false; readonly reason: 'incomplete'; readonly digests: readonly string[] }

/** Takes a manifest out of the trash, and tags it when `tags` says so. What it refers to must all be there. */
export const undeleteManifest = defineCommand(
  'manifest.undelete',
  async (
    tx: Kysely<RegionSchema>,
    args: WriteContext & { path: string; digest: string; tags: readonly string[] },
  ): Promise<UndeleteManifestResult> => {
    if (!(await mayStillWrite(tx, args))) return { ok: false, reason: 'revoked' }
    const { projectId, path, digest, nowMs, actor } = args
    const repositoryId = await lockRepositoryAt(tx, projectId, path)
    if (repositoryId === null) return { ok: false, reason: 'no_repository' }
    const manifest = await selectManifestState.first(tx, { repositoryId, digest })
    if (manifest === undefined || manifest.deleted_at === null) return { ok: false, reason: 'not_in_trash' }
    const digests = await missingTargets(tx, repositoryId, digest)
    if (digests.length > 0) return { ok: false, reason: 'incomplete', digests }

    await takeOutOfTrash(tx, repositoryId, digest)
    for (const tag of args.tags) await writeTag(tx, { repositoryId, tag, digest, nowMs, actor })
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor,
      action: 'manifest.undelete',
      target: `${path}@${digest}`,
      detail: { tags: args.tags },
      requestId: args.requestId,
    })
    const settled = await settleUsage(tx, projectId, manifest.size_bytes)
    if (!settled.ok) throw new Rollback(settled)
    return { ok: true, usage: settled.usage }
  },
)

/** Targets of a manifest's edges that the repository does not show. */
async function missingTargets(
  tx: Kysely<RegionSchema>,
  repositoryId: number,
  manifestDigest: string,
): Promise<string[]> {
  const rows = await sql<{ digest: string }>`
    select edge.target_digest as digest
    from manifest_reference edge
    left join repository_blob member
      on edge.target_kind = 'blob' and member.repository_id = edge.repository_id and member.digest = edge.target_digest
    left join manifest child
      on edge.target_kind = 'manifest' and child.repository_id = edge.repository_id
      and child.digest = edge.target_digest and child.deleted_at is null
    where edge.repository_id = ${repositoryId} and edge.manifest_digest = ${manifestDigest}
      and member.digest is null and child.digest is null
    order by edge.target_digest`.execute(tx)
  return rows.rows.map((row) => row.digest)
}

export const manifestCommands = [pushManifest, deleteManifest, undeleteManifest]
