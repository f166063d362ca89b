import type { Kysely } from 'kysely'
import { defineCommand } from '../database.ts'
import type { RegionSchema } from '../region-schema.ts'
import { loadLiveReferrer } from './blob.ts'
import { loadHold } from './image-hold.ts'
import { findImmutableTag, type ImmutablePatterns, type ImmutableTag } from './immutable-tag.ts'
import { selectManifestState } from './manifest.ts'
import { insertRegionAudit } from './region-audit.ts'
import { lockRepositoryAt } from './repository.ts'
import { listParts, trashManifests } from './trash-manifests.ts'
import { mayStillWrite, type WriteContext } from './write-context.ts'

export interface DeleteManifestArgs extends WriteContext {
  readonly path: string
  readonly digest: string
  readonly trashMs: number
  /** Of the project's rules those about this repository. */
  readonly immutable: ImmutablePatterns
  /** Also what only this manifest needs, as `listParts` says. */
  readonly withParts: boolean
}

/** Why a manifest cannot be deleted. */
export type DeletionRefusal =
  | { readonly ok: false; readonly reason: 'referenced'; readonly manifestDigest: string }
  | { readonly ok: false; readonly reason: 'held'; readonly heldBy: string }
  | ({ readonly ok: false; readonly reason: 'immutable_tag' } & ImmutableTag)

export type DeleteManifestResult =
  | {
      readonly ok: true
      /** All tags that went, those of the parts included. */
      readonly tags: readonly string[]
      /** Manifests that went along. */
      readonly parts: readonly string[]
    }
  | { readonly ok: false; readonly reason: 'revoked' | 'no_repository' | 'no_manifest' }
  | DeletionRefusal

/** Tags and parts that an audit event names; the rest is in the tags' histories. */
const MAX_AUDITED = 100

/**
 * Puts a manifest into the trash and removes its tags, unless an index of the repository lists it, something holds it,
 * or one of its tags is immutable.
 */
export const deleteManifest = defineCommand(
  'manifest.delete',
  async (tx: Kysely<RegionSchema>, args: DeleteManifestArgs): Promise<DeleteManifestResult> => {
    if (!(await mayStillWrite(tx, args))) return { ok: false, reason: 'revoked' }
    const { projectId, path, digest, nowMs, actor } = args
    const repositoryId = await lockRepositoryAt(tx, projectId, path)
    if (repositoryId === null) return { ok: false, reason: 'no_repository' }
    const manifest = await selectManifestState.first(tx, { repositoryId, digest })
    if (manifest === undefined || manifest.deleted_at !== null) return { ok: false, reason: 'no_manifest' }
    const refusal = await refuseDeletion(tx, { ...args, repositoryId })
    if (refusal !== null) return refusal

    const parts = args.withParts ? (await listParts(tx, repositoryId, [digest])).digests : []
    const purgeAt = nowMs + args.trashMs
    const digests = [digest, ...parts]
    const { tags } = await trashManifests(tx, { projectId, repositoryId, digests, nowMs, purgeAt, actor })
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor,
      action: 'manifest.delete',
      target: `${path}@${digest}`,
      detail: {
        tags: tags.slice(0, MAX_AUDITED),
        tagCount: tags.length,
        ...(parts.length === 0 ? {} : { parts: parts.slice(0, MAX_AUDITED), partCount: parts.length }),
      },
      requestId: args.requestId,
    })
    return { ok: true, tags, parts }
  },
)

async function refuseDeletion(
  tx: Kysely<RegionSchema>,
  args: DeleteManifestArgs & { readonly repositoryId: number },
): Promise<DeletionRefusal | null> {
  const { repositoryId, digest } = args
  const manifestDigest = await loadLiveReferrer(tx, { repositoryId, digest, kind: 'manifest' })
  if (manifestDigest !== null) return { ok: false, reason: 'referenced', manifestDigest }
  const heldBy = await loadHold(tx, repositoryId, digest)
  if (heldBy !== null) return { ok: false, reason: 'held', heldBy }
  const tag = await findImmutableTag(tx, args)
  return tag === null ? null : { ok: false, reason: 'immutable_tag', ...tag }
}

export const deleteManifestCommands = [deleteManifest]
