import { defineCommand } from '../database.ts'
import { lockRepository } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'
import { loadHoldIn } from './image-hold.ts'
import { findImmutableTag, type ImmutablePatterns, type ImmutableTag } from './immutable-tag.ts'
import { insertRegionAudit } from './region-audit.ts'
import { trashManifests } from './trash-manifests.ts'
import type { WriteContext } from './write-context.ts'

export interface DeleteRepositoryArgs extends Omit<WriteContext, 'guard'> {
  readonly repositoryId: number
  /** The repository's path, for the audit event. */
  readonly path: string
  readonly trashMs: number
  /** Of the project's rules those about this repository. */
  readonly immutable: ImmutablePatterns
}

export type DeleteRepositoryResult =
  | {
      readonly ok: true
      readonly deletedTags: number
      readonly trashedManifests: number
      readonly purgeAt: number
    }
  | { readonly ok: false; readonly reason: 'no_repository' }
  | { readonly ok: false; readonly reason: 'held'; readonly digest: string; readonly heldBy: string }
  | ({ readonly ok: false; readonly reason: 'immutable_tag' } & ImmutableTag)

/**
 * Puts every manifest of a repository into the trash and removes every tag, as deleting them one by one would. The
 * row itself stays for the tags' histories. Refused as a whole while something in it is held or a tag is immutable.
 */
export const deleteRepository = defineCommand<RegionSchema, DeleteRepositoryArgs, DeleteRepositoryResult>(
  'repository.delete',
  async (tx, args) => {
    const { repositoryId, projectId, nowMs, actor } = args
    if ((await lockRepository(tx, repositoryId)) === null) return { ok: false, reason: 'no_repository' }
    const purgeAt = nowMs + args.trashMs
    const held = await loadHoldIn(tx, repositoryId)
    if (held !== null) return { ok: false, reason: 'held', digest: held.digest, heldBy: held.reason }
    const tag = await findImmutableTag(tx, { repositoryId, digest: null, immutable: args.immutable })
    if (tag !== null) return { ok: false, reason: 'immutable_tag', ...tag }
    const target = { projectId, repositoryId, nowMs, purgeAt, actor }
    const trashed = await trashManifests(tx, { ...target, digests: 'all' })
    const deletedTags = trashed.tags.length
    await insertRegionAudit(tx, {
      projectId,
      at: nowMs,
      actor,
      action: 'repository.delete',
      target: args.path,
      detail: { deletedTags, trashedManifests: trashed.count },
      requestId: args.requestId,
    })
    return { ok: true, deletedTags, trashedManifests: trashed.count, purgeAt }
  },
)

export const deleteRepositoryCommands = [deleteRepository]
