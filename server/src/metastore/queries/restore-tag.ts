import type { Kysely } from 'kysely'
import { defineCommand } from '../database.ts'
import { lockRepository } from '../dialect.ts'
import type { RegionSchema } from '../region-schema.ts'
import { findMovedImmutableTag, type ImmutablePatterns, type ImmutableTag } from './immutable-tag.ts'
import { insertRegionAudit } from './region-audit.ts'
import { writeTag } from './tag.ts'
import type { WriteContext } from './write-context.ts'

export interface RestoreTagArgs extends Omit<WriteContext, 'guard'> {
  readonly repositoryId: number
  /** The repository's path, for the audit event. */
  readonly path: string
  readonly tag: string
  readonly digest: string
  /** The version of the history that is restored, for the audit event. */
  readonly fromVersion: number
  /** Restore only if the tag does not exist now. */
  readonly onlyIfDeleted: boolean
  /** Of the project's rules those about this repository. */
  readonly immutable: ImmutablePatterns
}

export type RestoreTagResult =
  | { readonly ok: true; readonly version: number }
  | { readonly ok: false; readonly reason: 'no_repository' | 'no_manifest' | 'not_deleted' }
  | ({ readonly ok: false; readonly reason: 'immutable_tag' } & ImmutableTag)

/** Points a tag again at a manifest of its history. That is a new version, as each change of a tag is. */
export const restoreTag = defineCommand<RegionSchema, RestoreTagArgs, RestoreTagResult>(
  'tag.restore',
  async (tx, args) => {
    const { repositoryId, tag, digest, nowMs, actor } = args
    if ((await lockRepository(tx, repositoryId)) === null) return { ok: false, reason: 'no_repository' }
    if (args.onlyIfDeleted && (await tagExists(tx, repositoryId, tag))) {
      return { ok: false, reason: 'not_deleted' }
    }
    if (!(await manifestIsLive(tx, repositoryId, digest))) return { ok: false, reason: 'no_manifest' }
    const moved = await findMovedImmutableTag(tx, { ...args, tags: [tag] })
    if (moved !== null) return { ok: false, reason: 'immutable_tag', ...moved }
    const version = await writeTag(tx, { repositoryId, tag, digest, nowMs, actor })
    await insertRegionAudit(tx, {
      projectId: args.projectId,
      at: nowMs,
      actor,
      action: 'tag.undelete',
      target: `${args.path}:${tag}`,
      detail: { digest, version, fromVersion: args.fromVersion },
      requestId: args.requestId,
    })
    return { ok: true, version }
  },
)

async function tagExists(tx: Kysely<RegionSchema>, repositoryId: number, name: string): Promise<boolean> {
  const row = await tx
    .selectFrom('tag')
    .select('name')
    .where('repository_id', '=', repositoryId)
    .where('name', '=', name)
    .executeTakeFirst()
  return row !== undefined
}

async function manifestIsLive(
  tx: Kysely<RegionSchema>,
  repositoryId: number,
  digest: string,
): Promise<boolean> {
  const row = await tx
    .selectFrom('manifest')
    .select('digest')
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return row !== undefined
}

export const restoreTagCommands = [restoreTag]
