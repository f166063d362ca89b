import type { Kysely } from 'kysely'
import { defineCommand, Rollback } from '../database.ts'
import { dialectOf, lockForShare } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'
import { type CacheSource, cacheIdOf } from './access-registry.ts'
import { assertKeyStillValid, type WriteGuard } from './access-guard.ts'
import { type BlobContent, joinRepository, liveBlobFor } from './blob.ts'
import { reviveBlobs } from './idle-blob.ts'
import { type ManifestContent, settleManifest, storeEdges, storeManifest } from './manifest.ts'
import { prepareQuery } from './prepared-query.ts'
import { insertRegionAudit } from './region-audit.ts'
import { ensureRepository, lockRepositoryAt } from './repository.ts'
import { writeTag } from './tag.ts'
import { changeUsage, type QuotaRefusal, settleUsage } from './usage.ts'
import { mayStillWrite } from './write-context.ts'

/*
 * Copies of what connected registries have. They are content like any other (usage, quota, garbage collection), with
 * two differences: their repositories say where they are from, and what a manifest refers to may be missing here, since
 * it is fetched when somebody asks for it.
 */

/** The copy of one repository of a connected registry. */
export interface CachedRepository {
  readonly projectId: string
  /** Below the namespace, the slug included. */
  readonly path: string
  readonly source: CacheSource
}

interface CacheWrite extends CachedRepository {
  /** Of the key whose pull it is: nothing is written for a key that is revoked. */
  readonly guard: WriteGuard | null
  /** Whose pull made it necessary. */
  readonly actor: string
  readonly requestId: string
  /** Milliseconds since the epoch. */
  readonly nowMs: number
}

/**
 * `disconnected`: the registry is not connected like this any more. `occupied`: the project has pushed to this path.
 * `stale`: copies from another registry are still being cleared there. `revoked`: the key is not
 * good any more.
 */
export type CacheRefusal =
  | {
      readonly ok: false
      readonly reason: 'disconnected' | 'occupied' | 'stale' | 'project_deleted' | 'revoked'
    }
  | QuotaRefusal

/** What is at a path that belongs to a connected registry. */
export type CacheState =
  | { readonly kind: 'empty' }
  | { readonly kind: 'cached'; readonly repositoryId: number }
  | { readonly kind: 'occupied' }
  | { readonly kind: 'stale' }

const selectRepository = prepareQuery<RegionSchema, { projectId: string; path: string }>()((db, p) =>
  db
    .selectFrom('repository')
    .select(['id', 'cached_from'])
    .where('project_id', '=', p('projectId'))
    .where('path', '=', p('path')),
)

/** Whose content is at a path. A repository that the project made itself and that is empty by now gives way. */
export async function loadCacheState(
  db: Kysely<RegionSchema>,
  { projectId, path, source }: CachedRepository,
): Promise<CacheState> {
  const row = await selectRepository.first(db, { projectId, path })
  if (row === undefined) return { kind: 'empty' }
  if (row.cached_from === cacheIdOf(source)) return { kind: 'cached', repositoryId: row.id }
  if (row.cached_from !== null) return { kind: 'stale' }
  return (await hasContent(db, row.id)) ? { kind: 'occupied' } : { kind: 'empty' }
}

/** Whether a repository holds copies, of whatever registry. */
export async function isCachedRepository(
  db: Kysely<RegionSchema>,
  projectId: string,
  path: string,
): Promise<boolean> {
  return ((await selectRepository.first(db, { projectId, path }))?.cached_from ?? null) !== null
}

/** Anything at all counts, also what is in the trash: it can be undeleted. */
async function hasContent(db: Kysely<RegionSchema>, repositoryId: number): Promise<boolean> {
  for (const table of ['manifest', 'repository_blob'] as const) {
    const row = await db
      .selectFrom(table)
      .select('digest')
      .where('repository_id', '=', repositoryId)
      .limit(1)
      .executeTakeFirst()
    if (row !== undefined) return true
  }
  return false
}

/** The repository of a copy, made when there is none, with its row locked. */
async function ensureCachedRepository(tx: Kysely<RegionSchema>, write: CacheWrite): Promise<number> {
  const { projectId, path, source, nowMs } = write
  await assertKeyStillValid(tx, write.guard, nowMs)
  if (!(await isConnected(tx, source))) throw refusal('disconnected')
  const repositoryId = await ensureRepository(tx, projectId, path, nowMs)
  const state = await loadCacheState(tx, write)
  if (state.kind === 'occupied' || state.kind === 'stale') throw refusal(state.kind)
  if (state.kind === 'empty') {
    await tx
      .updateTable('repository')
      .set({ cached_from: cacheIdOf(source) })
      .where('id', '=', repositoryId)
      .execute()
  }
  return repositoryId
}

/** Holds the registry's row on PostgreSQL: its deletion waits for this, or this does not happen. */
async function isConnected(tx: Kysely<RegionSchema>, source: CacheSource): Promise<boolean> {
  const query = tx
    .selectFrom('access_registry')
    .select(['id', 'slug', 'provider', 'host'])
    .where('id', '=', source.id)
  const row = await lockForShare(query, dialectOf(tx)).executeTakeFirst()
  return row !== undefined && cacheIdOf(row) === cacheIdOf(source)
}

function refusal(reason: 'disconnected' | 'occupied' | 'stale'): Rollback {
  return new Rollback({ ok: false, reason } satisfies CacheRefusal)
}

export interface CacheManifestArgs extends CacheWrite, ManifestContent {
  readonly nowMs: number
  /** Digests of what it refers to, here or not. */
  readonly blobs: readonly string[]
  readonly children: readonly string[]
  /** The tag that it was asked for by, or null. */
  readonly tag: string | null
}

/** Stores a manifest that was fetched and checked, with all its edges; points the tag at it and notes when. */
export const cacheManifest = defineCommand(
  'cache.manifest',
  async (
    tx: Kysely<RegionSchema>,
    args: CacheManifestArgs,
  ): Promise<{ readonly ok: true } | CacheRefusal> => {
    const { projectId, path, digest, nowMs, actor, tag, blobs, children } = args
    const repositoryId = await ensureCachedRepository(tx, args)
    const stored = await storeManifest(tx, repositoryId, args)
    await storeEdges(tx, repositoryId, digest, { blobs, children })
    const isMoved = tag !== null && (await pointTag(tx, { repositoryId, tag, digest, nowMs, actor }))
    if (stored.addedBytes > 0 || isMoved) {
      await insertRegionAudit(tx, {
        projectId,
        at: nowMs,
        actor,
        action: 'manifest.cache',
        target: `${path}@${digest}`,
        detail: { registry: args.source.slug, sizeBytes: args.content.byteLength, tag },
        requestId: args.requestId,
      })
    }
    const present = { ok: true, someIdle: true, blobs, children } as const
    const settled = await settleManifest(tx, { projectId, repositoryId, ...stored, ...present })
    if (!settled.ok) throw new Rollback(settled)
    return { ok: true }
  },
)

/** Points a tag at a manifest, unless it does already, and notes that it was compared. Answers whether it moved. */
async function pointTag(
  tx: Kysely<RegionSchema>,
  target: { repositoryId: number; tag: string; digest: string; nowMs: number; actor: string },
): Promise<boolean> {
  const { repositoryId, tag, digest, nowMs } = target
  await tx
    .insertInto('cached_tag')
    .values({ repository_id: repositoryId, name: tag, checked_at: nowMs })
    .onConflict((conflict) => conflict.columns(['repository_id', 'name']).doUpdateSet({ checked_at: nowMs }))
    .execute()
  const row = await tx
    .selectFrom('tag')
    .select('digest')
    .where('repository_id', '=', repositoryId)
    .where('name', '=', tag)
    .executeTakeFirst()
  if (row?.digest === digest) return false
  await writeTag(tx, target)
  return true
}

export interface ConfirmTagArgs extends CacheWrite {
  readonly tag: string
  readonly digest: string
}

/** Notes that a tag is still what it was, or is a manifest that is here already. `not_cached`: that is not here. */
export const confirmCachedTag = defineCommand(
  'cache.confirm_tag',
  async (
    tx: Kysely<RegionSchema>,
    args: ConfirmTagArgs,
  ): Promise<
    { readonly ok: true } | { readonly ok: false; readonly reason: 'not_cached' } | CacheRefusal
  > => {
    const { tag, digest, nowMs, actor } = args
    const repositoryId = await ensureCachedRepository(tx, args)
    const manifest = await tx
      .selectFrom('manifest')
      .select('digest')
      .where('repository_id', '=', repositoryId)
      .where('digest', '=', digest)
      .where('deleted_at', 'is', null)
      .executeTakeFirst()
    if (manifest === undefined) throw new Rollback({ ok: false, reason: 'not_cached' })
    if (await pointTag(tx, { repositoryId, tag, digest, nowMs, actor })) {
      await insertRegionAudit(tx, {
        projectId: args.projectId,
        at: nowMs,
        actor,
        action: 'tag.cache',
        target: `${args.path}:${tag}`,
        detail: { registry: args.source.slug, digest },
        requestId: args.requestId,
      })
    }
    return { ok: true }
  },
)

/** Forgets a tag that the other registry does not have any more. Its manifest stays for those who know the digest. */
export const dropCachedTag = defineCommand(
  'cache.drop_tag',
  async (tx: Kysely<RegionSchema>, args: CacheWrite & { readonly tag: string }): Promise<null> => {
    const { projectId, path, tag, source, nowMs, actor } = args
    if (!(await mayStillWrite(tx, args))) return null
    const repositoryId = await lockRepositoryAt(tx, projectId, path)
    if (repositoryId === null || (await loadCacheState(tx, args)).kind !== 'cached') return null
    const removed = await tx
      .deleteFrom('tag')
      .where('repository_id', '=', repositoryId)
      .where('name', '=', tag)
      .returning(['digest', 'version'])
      .executeTakeFirst()
    await tx
      .deleteFrom('cached_tag')
      .where('repository_id', '=', repositoryId)
      .where('name', '=', tag)
      .execute()
    if (removed === undefined) return null
    const version = removed.version + 1
    await tx
      .insertInto('tag_history')
      .values({ repository_id: repositoryId, tag, version, digest: null, at: nowMs, actor })
      .execute()
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor,
      action: 'tag.evict',
      target: `${path}:${tag}`,
      detail: { registry: source.slug, digest: removed.digest, reason: 'gone' },
      requestId: args.requestId,
    })
    return null
  },
)

export interface CacheBlobArgs extends CacheWrite, BlobContent {
  readonly projectId: string
  readonly nowMs: number
  readonly leaseMs: number
}

/** Makes fetched and checked content a blob of its copy. `known`: the copy under `storageKey` is not used. */
export const cacheBlob = defineCommand(
  'cache.blob',
  async (
    tx: Kysely<RegionSchema>,
    args: CacheBlobArgs,
  ): Promise<{ readonly ok: true; readonly known: boolean } | CacheRefusal> => {
    const { projectId, path, digest, nowMs } = args
    const repositoryId = await ensureCachedRepository(tx, args)
    const { blobId, known } = await liveBlobFor(tx, args)
    await joinRepository(tx, args, repositoryId, blobId, 'cached')
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor: args.actor,
      action: 'blob.cache',
      target: `${path}@${digest}`,
      detail: { registry: args.source.slug, sizeBytes: args.sizeBytes },
      requestId: args.requestId,
    })
    const usedBytes = known ? 0 : args.sizeBytes
    const settled = await settleUsage(tx, projectId, { usedBytes, trashedBytes: 0 })
    if (!settled.ok) throw new Rollback(settled)
    if (known) await countAsUsed(tx, projectId, repositoryId, digest)
    return { ok: true, known }
  },
)

/** The content was in the project's trash, and now a copy needs it: its manifest was here first. */
async function countAsUsed(
  tx: Kysely<RegionSchema>,
  projectId: string,
  repositoryId: number,
  digest: string,
): Promise<void> {
  await changeUsage(tx, projectId, { usedBytes: 0, trashedBytes: 0 })
  await reviveBlobs(tx, { projectId, repositoryId, digests: [digest] })
}

/** A tag of a copy: where it points and when it was last compared; null when it is not here. */
export async function loadCachedTag(
  db: Kysely<RegionSchema>,
  repositoryId: number,
  tag: string,
): Promise<{ readonly digest: string; readonly checkedAt: number } | null> {
  const row = await db
    .selectFrom('tag')
    .innerJoin('cached_tag', (join) =>
      join
        .onRef('cached_tag.repository_id', '=', 'tag.repository_id')
        .onRef('cached_tag.name', '=', 'tag.name'),
    )
    .select(['tag.digest', 'cached_tag.checked_at'])
    .where('tag.repository_id', '=', repositoryId)
    .where('tag.name', '=', tag)
    .executeTakeFirst()
  return row === undefined ? null : { digest: row.digest, checkedAt: row.checked_at }
}

export const cachedContentCommands = [cacheManifest, confirmCachedTag, dropCachedTag, cacheBlob]
