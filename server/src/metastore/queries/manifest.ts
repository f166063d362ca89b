import { type Kysely, sql } from 'kysely'
import { defineCommand, Rollback } from '../database.ts'
import { dialectOf } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'
import { reviveBlobs } from './idle-blob.ts'
import { findMovedImmutableTag, type ImmutablePatterns, type ImmutableTag } from './immutable-tag.ts'
import { type PreparedQuery, prepareQuery } from './prepared-query.ts'
import { insertRegionAudit } from './region-audit.ts'
import { ensureOwnRepository } from './repository.ts'
import { writeTag } from './tag.ts'
import { changeUsage, checkQuota, type ProjectUsage, type QuotaRefusal, type Settled } from './usage.ts'
import { mayStillWrite, type WriteContext } from './write-context.ts'

/** Content that a manifest refers to. */
export interface ManifestTarget {
  readonly digest: string
  readonly sizeBytes: number
}

/** A manifest as it is stored. */
export interface ManifestContent {
  readonly digest: string
  readonly mediaType: string
  readonly kind: 'image' | 'index'
  readonly artifactType: string | null
  readonly subjectDigest: string | null
  /** JSON object or null. */
  readonly annotations: string | null
  readonly content: Uint8Array
  /** Milliseconds since the epoch. */
  readonly nowMs: number
}

export interface PushManifestArgs extends WriteContext, ManifestContent {
  readonly path: string
  readonly nowMs: number
  /** Must be in the repository, with these sizes. */
  readonly blobs: readonly ManifestTarget[]
  /** May be missing: non-distributable layers. */
  readonly optionalBlobs: readonly ManifestTarget[]
  readonly children: readonly ManifestTarget[]
  /** Children may be missing. */
  readonly allowSparse: boolean
  readonly tags: readonly string[]
  /** Of the project's rules those about this repository. */
  readonly immutable: ImmutablePatterns
}

export type PushManifestResult =
  | { readonly ok: true; readonly usage: ProjectUsage }
  | { readonly ok: false; readonly reason: 'revoked' | 'project_deleted' | 'reserved' }
  | QuotaRefusal
  | ({ readonly ok: false; readonly reason: 'immutable_tag' } & ImmutableTag)
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
    const repositoryId = await ensureOwnRepository(tx, projectId, path, nowMs)

    const present = await checkTargets(tx, repositoryId, args)
    if (!present.ok) throw new Rollback(present.result)
    const moved = await findMovedImmutableTag(tx, { ...args, repositoryId })
    if (moved !== null) throw new Rollback({ ok: false, reason: 'immutable_tag', ...moved })
    const stored = await storeManifest(tx, repositoryId, args)
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
    const settled = await settleManifest(tx, { projectId, repositoryId, ...stored, ...present })
    if (!settled.ok) throw new Rollback(settled)
    return { ok: true, usage: settled.usage }
  },
)

/** Counts a manifest that was stored, and the blobs that it took out of the trash. */
export async function settleManifest(
  tx: Kysely<RegionSchema>,
  stored: StoredManifest & PresentTargets & { projectId: string; repositoryId: number },
): Promise<Settled> {
  const { projectId, addedBytes, fromTrashBytes } = stored
  const change = { usedBytes: addedBytes, trashedBytes: -fromTrashBytes }
  if (addedBytes === 0) return checkQuota(tx, projectId, change)
  await changeUsage(tx, projectId, change)
  // With one writer what was read before still holds; on PostgreSQL a deletion may have been counted since.
  const mayRevive = stored.someIdle || dialectOf(tx) === 'postgres'
  const revivedBytes = mayRevive ? await reviveBlobs(tx, { ...stored, digests: stored.blobs }) : 0
  return checkQuota(tx, projectId, {
    usedBytes: addedBytes + revivedBytes,
    trashedBytes: -fromTrashBytes - revivedBytes,
  })
}

interface PresentTargets {
  readonly ok: true
  /** Some of the blobs count as trash. */
  readonly someIdle: boolean
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
  const foundBlobs = await find(tx, selectBlobSizes, repositoryId, wantedBlobs)
  const blobs = sizesOf(foundBlobs)
  const children = sizesOf(await find(tx, selectManifestSizes, repositoryId, args.children))
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
  const someIdle = foundBlobs.some((row) => row.idleSince !== null)
  return { ok: true, someIdle, blobs: [...blobs.keys()], children: [...children.keys()] }
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
    .leftJoin('idle_blob', 'idle_blob.blob_id', 'blob.id')
    .select(['repository_blob.digest', 'blob.size_bytes as sizeBytes', 'idle_blob.since as idleSince'])
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

async function find<Row>(
  tx: Kysely<RegionSchema>,
  query: PreparedQuery<RegionSchema, SizeQuery, Row>,
  repositoryId: number,
  targets: readonly ManifestTarget[],
): Promise<Row[]> {
  if (targets.length === 0) return []
  return query.all(tx, { repositoryId, digests: JSON.stringify(targets.map((target) => target.digest)) })
}

function sizesOf(rows: readonly { digest: string; sizeBytes: number }[]): Map<string, number> {
  return new Map(rows.map((row) => [row.digest, row.sizeBytes]))
}

/** A sub-select of the elements of a JSON array of strings. */
function jsonElements(db: Kysely<RegionSchema>, json: string) {
  return dialectOf(db) === 'postgres'
    ? sql<string>`(select jsonb_array_elements_text(cast(${json} as jsonb)))`
    : sql<string>`(select value from json_each(${json}))`
}

/** Whether a repository has a manifest, and whether that is in the trash. */
export const selectManifestState = prepareQuery<RegionSchema, { repositoryId: number; digest: string }>()(
  (db, p) =>
    db
      .selectFrom('manifest')
      .select(['deleted_at', 'size_bytes'])
      .where('repository_id', '=', p('repositoryId'))
      .where('digest', '=', p('digest')),
)

const insertManifest = prepareQuery<
  RegionSchema,
  ManifestContent & { repositoryId: number; sizeBytes: number }
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

interface StoredManifest {
  /** By how much the project's use grows. */
  readonly addedBytes: number
  /** How much of it was in the trash. */
  readonly fromTrashBytes: number
}

/** Writes the manifest's row, or takes it out of the trash. */
export async function storeManifest(
  tx: Kysely<RegionSchema>,
  repositoryId: number,
  args: ManifestContent,
): Promise<StoredManifest> {
  const sizeBytes = args.content.byteLength
  const known = await selectManifestState.first(tx, { repositoryId, digest: args.digest })
  if (known === undefined) {
    await insertManifest.run(tx, { ...args, repositoryId, sizeBytes })
    return { addedBytes: sizeBytes, fromTrashBytes: 0 }
  }
  if (known.deleted_at === null) {
    await notePush(tx, repositoryId, [args.digest], args.nowMs)
    return { addedBytes: 0, fromTrashBytes: 0 }
  }
  await takeOutOfTrash(tx, { repositoryId, digests: [args.digest], nowMs: args.nowMs })
  return { addedBytes: sizeBytes, fromTrashBytes: sizeBytes }
}

/** From now on counts the time after which manifests that are here already may go for having no tag. */
async function notePush(
  tx: Kysely<RegionSchema>,
  repositoryId: number,
  digests: readonly string[],
  nowMs: number,
): Promise<void> {
  await tx
    .insertInto('untagged_manifest')
    .values(digests.map((digest) => ({ repository_id: repositoryId, digest, since: nowMs })))
    .onConflict((conflict) =>
      conflict
        .columns(['repository_id', 'digest'])
        .doUpdateSet((eb) => ({ since: eb.ref('excluded.since') })),
    )
    .execute()
}

/**
 * Makes manifests in the trash live again, and forgets the tags that they had. For retention it is as if they were
 * pushed. Counts nothing.
 */
export async function takeOutOfTrash(
  tx: Kysely<RegionSchema>,
  { repositoryId, digests, nowMs }: { repositoryId: number; digests: readonly string[]; nowMs: number },
): Promise<void> {
  await notePush(tx, repositoryId, digests, nowMs)
  await tx
    .updateTable('manifest')
    .set({ deleted_at: null, purge_at: null })
    .where('repository_id', '=', repositoryId)
    .where('digest', 'in', [...digests])
    .execute()
  await tx
    .deleteFrom('trashed_tag')
    .where('repository_id', '=', repositoryId)
    .where('digest', 'in', [...digests])
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

/** Writes the edges from a manifest to what it refers to. */
export async function storeEdges(
  tx: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
  present: Pick<PresentTargets, 'blobs' | 'children'>,
): Promise<void> {
  for (const [kind, targets] of [
    ['blob', present.blobs],
    ['manifest', present.children],
  ] as const) {
    if (targets.length === 0) continue
    await insertEdges.run(tx, { repositoryId, digest, kind, targets: JSON.stringify(targets) })
  }
}

export const manifestCommands = [pushManifest]
