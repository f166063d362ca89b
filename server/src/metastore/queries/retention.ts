import { type Kysely, sql } from 'kysely'
import { defineCommand } from '../database.ts'
import { lockRepository } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'
import { loadAccessProject } from './access-copy.ts'
import { loadHold } from './image-hold.ts'
import { insertRegionAudit } from './region-audit.ts'
import { removeTag } from './tag.ts'
import { listParts, loadNeed, trashManifests } from './trash-manifests.ts'

/** A tag with what retention decides on. */
export interface RetainedTag {
  readonly name: string
  readonly digest: string
  readonly version: number
  readonly updated_at: number
}

/** Tags of a repository by name. */
export async function listTagsForRetention(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  page: { readonly afterName: string; readonly limit: number },
): Promise<RetainedTag[]> {
  return reader
    .selectFrom('tag')
    .select(['name', 'digest', 'version', 'updated_at'])
    .where('repository_id', '=', repositoryId)
    .where('name', '>', page.afterName)
    .orderBy('name')
    .limit(page.limit)
    .execute()
}

/** When each of the manifests, or one that it lists, was last pulled; one that never was is left out. */
export async function loadImagePulls(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  digests: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  if (digests.length === 0) return new Map()
  const list = sql.join([...digests])
  const { rows } = await sql<{ digest: string; pulled_at: number }>`
    select digest, max(pulled_at) as pulled_at from (
      select reference as digest, pulled_at from last_pull
        where repository_id = ${repositoryId} and reference in (${list})
      union all
      select edge.manifest_digest as digest, last_pull.pulled_at from manifest_reference edge
        join last_pull on last_pull.repository_id = edge.repository_id and last_pull.reference = edge.target_digest
        where edge.repository_id = ${repositoryId} and edge.manifest_digest in (${list})
          and edge.target_kind = 'manifest'
    ) as pulls group by digest`.execute(reader)
  return new Map(rows.map((row) => [row.digest, Number(row.pulled_at)]))
}

/** Which of the digests are live manifests of the repository. */
export async function listLiveDigests(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  digests: readonly string[],
): Promise<ReadonlySet<string>> {
  if (digests.length === 0) return new Set()
  const rows = await reader
    .selectFrom('manifest')
    .select('digest')
    .where('repository_id', '=', repositoryId)
    .where('digest', 'in', [...digests])
    .where('deleted_at', 'is', null)
    .execute()
  return new Set(rows.map((row) => row.digest))
}

/** A live manifest that no tag points at. */
export interface UntaggedManifest {
  readonly digest: string
  /** The newer of its push and the loss of its last tag. */
  readonly since: number
  readonly parent: string | null
  readonly subject: string | null
  readonly held_by: string | null
}

/** Live manifests without a tag, by digest, with something that needs each of them. */
export async function listUntagged(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  page: { readonly afterDigest: string; readonly limit: number },
): Promise<UntaggedManifest[]> {
  const { rows } = await sql<UntaggedManifest & { lost_at: number | null }>`
    select manifest.digest, manifest.created_at as since, untagged_manifest.since as lost_at,
      (select edge.manifest_digest from manifest_reference edge
        join manifest parent on parent.repository_id = edge.repository_id and parent.digest = edge.manifest_digest
          and parent.deleted_at is null
        where edge.repository_id = manifest.repository_id and edge.target_digest = manifest.digest
          and edge.target_kind = 'manifest' limit 1) as parent,
      (select subject.digest from manifest subject where subject.repository_id = manifest.repository_id
        and subject.digest = manifest.subject_digest and subject.deleted_at is null) as subject,
      (select reason from image_hold where image_hold.repository_id = manifest.repository_id
        and image_hold.digest = manifest.digest limit 1) as held_by
    from manifest left join untagged_manifest
      on untagged_manifest.repository_id = manifest.repository_id and untagged_manifest.digest = manifest.digest
    where manifest.repository_id = ${repositoryId} and manifest.deleted_at is null
      and manifest.digest > ${page.afterDigest}
      and not exists (select 1 from tag where tag.repository_id = manifest.repository_id
        and tag.digest = manifest.digest)
    order by manifest.digest limit ${page.limit}`.execute(reader)
  return rows.map(({ lost_at, ...row }) => ({
    ...row,
    since: Math.max(Number(row.since), Number(lost_at ?? 0)),
  }))
}

/** The newer of a live manifest's last push and the loss of its last tag; null when it is not there. */
async function loadUntaggedSince(
  tx: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
): Promise<number | null> {
  const { rows } = await sql<{ created_at: number; noted_at: number | null }>`
    select manifest.created_at, untagged_manifest.since as noted_at
    from manifest left join untagged_manifest
      on untagged_manifest.repository_id = manifest.repository_id and untagged_manifest.digest = manifest.digest
    where manifest.repository_id = ${repositoryId} and manifest.digest = ${digest}
      and manifest.deleted_at is null`.execute(tx)
  const [row] = rows
  return row === undefined ? null : Math.max(Number(row.created_at), Number(row.noted_at ?? 0))
}

/** Who audit events name when retention removes something. */
export const RETENTION_ACTOR = 'retention'

interface RemovalArgs {
  readonly projectId: string
  readonly repositoryId: number
  readonly path: string
  readonly digest: string
  /** The rule that decided and why, for the audit event. */
  readonly rule: string
  readonly reason: string
  readonly requestId: string
  readonly nowMs: number
  readonly trashMs: number
  /** The project's rules that decided, as its row held them. */
  readonly rules: RulesText
}

/** A project's rules as its row holds them. */
export interface RulesText {
  readonly retention: string | null
  readonly immutableTags: string
}

export type RemovalResult =
  /** `image`: what became of the manifest; `parts`: manifests that went along. */
  | { readonly ok: true; readonly image: 'trashed' | 'kept'; readonly manifests: number }
  /** Pushed again, held, or gone since the decision: looked at again by the next run. */
  | { readonly ok: false; readonly reason: 'changed' }
  /** What decided is not what the project's rules are now. */
  | { readonly ok: false; readonly reason: 'rules_changed' }

/** Whether a project still is there and has these rules. */
async function areRulesOf(tx: Kysely<RegionSchema>, projectId: string, rules: RulesText): Promise<boolean> {
  const project = await loadAccessProject(tx, projectId)
  return (
    project !== null &&
    project.deleted_at === null &&
    project.retention === rules.retention &&
    project.immutable_tags === rules.immutableTags
  )
}

/**
 * Removes a tag that the rules do not keep, unless it changed since. Its image goes to the trash with it when nothing
 * else needs it, with the parts that only it needs.
 */
export const removeRetainedTag = defineCommand<
  RegionSchema,
  RemovalArgs & { readonly tag: string; readonly version: number },
  RemovalResult
>('retention.removeTag', async (tx, args) => {
  const { projectId, repositoryId, tag, digest, nowMs } = args
  if ((await lockRepository(tx, repositoryId)) === null) return { ok: false, reason: 'changed' }
  if (!(await areRulesOf(tx, projectId, args.rules))) return { ok: false, reason: 'rules_changed' }
  const current = await tx
    .selectFrom('tag')
    .select(['digest', 'version'])
    .where('repository_id', '=', repositoryId)
    .where('name', '=', tag)
    .executeTakeFirst()
  if (current === undefined || current.digest !== digest || current.version !== args.version)
    return { ok: false, reason: 'changed' }
  if ((await loadHold(tx, repositoryId, digest)) !== null) return { ok: false, reason: 'changed' }

  const isNeeded = (await loadNeed(tx, repositoryId, digest, { exceptTags: new Set([tag]) })) !== null
  const target = { projectId, repositoryId, nowMs, purgeAt: nowMs + args.trashMs, actor: RETENTION_ACTOR }
  let manifests = 0
  if (isNeeded) await removeTag(tx, { ...target, tag })
  else {
    const digests = [digest, ...(await listParts(tx, repositoryId, [digest])).digests]
    manifests = (await trashManifests(tx, { ...target, digests })).count
  }
  const image = isNeeded ? 'kept' : 'trashed'
  await insertRegionAudit(tx, {
    projectId,
    at: nowMs,
    actor: RETENTION_ACTOR,
    action: 'tag.delete',
    target: `${args.path}:${tag}`,
    detail: { digest, rule: args.rule, reason: args.reason, image },
    requestId: args.requestId,
  })
  return { ok: true, image, manifests }
})

/**
 * Puts a manifest without a tag into the trash, with the parts that only it needs, unless something needs it by now, or
 * it was pushed again or lost a tag after `since`.
 */
export const removeUntagged = defineCommand<
  RegionSchema,
  RemovalArgs & { readonly since: number },
  RemovalResult
>('retention.removeManifest', async (tx, args) => {
  const { projectId, repositoryId, digest, nowMs } = args
  if ((await lockRepository(tx, repositoryId)) === null) return { ok: false, reason: 'changed' }
  if (!(await areRulesOf(tx, projectId, args.rules))) return { ok: false, reason: 'rules_changed' }
  const since = await loadUntaggedSince(tx, repositoryId, digest)
  if (since === null || since > args.since) return { ok: false, reason: 'changed' }
  if ((await loadNeed(tx, repositoryId, digest, { exceptTags: new Set() })) !== null)
    return { ok: false, reason: 'changed' }
  const digests = [digest, ...(await listParts(tx, repositoryId, [digest])).digests]
  const purgeAt = nowMs + args.trashMs
  const target = { projectId, repositoryId, nowMs, purgeAt, actor: RETENTION_ACTOR }
  const { count, tags } = await trashManifests(tx, { ...target, digests })
  await insertRegionAudit(tx, {
    projectId,
    at: nowMs,
    actor: RETENTION_ACTOR,
    action: 'manifest.delete',
    target: `${args.path}@${digest}`,
    detail: { tags, rule: args.rule, reason: args.reason, parts: digests.length - 1 },
    requestId: args.requestId,
  })
  return { ok: true, image: 'trashed', manifests: count }
})

export const retentionCommands = [removeRetainedTag, removeUntagged]
