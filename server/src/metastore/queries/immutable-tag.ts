import type { Kysely } from 'kysely'
import { subjectOfAttachedTag } from '../attached-tag.ts'
import type { RegionSchema } from '../region-schema.ts'
import { matchesTagPatterns } from '../tag-pattern.ts'

/** One list of tag patterns for each rule about immutable tags that means the repository; usually there is none. */
export type ImmutablePatterns = readonly (readonly string[])[]

/** A tag that must not be moved or removed, and where it points. */
export interface ImmutableTag {
  readonly tag: string
  readonly digest: string
}

/** Tags that one statement asks for. */
const TAGS_PER_STATEMENT = 500

/** Whether one of the rules means the tag. Attached tags are never meant: signing an image again moves them. */
export function isImmutable(patterns: ImmutablePatterns, tag: string): boolean {
  return patterns.some((list) => matchesTagPatterns(list, tag)) && subjectOfAttachedTag(tag) === null
}

/**
 * The first of the tags that exists, is immutable and points elsewhere than at `digest`; null when all may be written.
 * Asked under the repository's lock, so that of two pushes of a new tag exactly one makes it.
 */
export async function findMovedImmutableTag(
  tx: Kysely<RegionSchema>,
  target: {
    readonly repositoryId: number
    readonly tags: readonly string[]
    readonly digest: string
    readonly immutable: ImmutablePatterns
  },
): Promise<ImmutableTag | null> {
  const tags = target.tags.filter((tag) => isImmutable(target.immutable, tag))
  for (let i = 0; i < tags.length; i += TAGS_PER_STATEMENT) {
    const row = await tx
      .selectFrom('tag')
      .select(['name as tag', 'digest'])
      .where('repository_id', '=', target.repositoryId)
      .where('name', 'in', tags.slice(i, i + TAGS_PER_STATEMENT))
      .where('digest', '!=', target.digest)
      .limit(1)
      .executeTakeFirst()
    if (row !== undefined) return row
  }
  return null
}

/** The first immutable tag of a manifest, or of the whole repository; null when there is none. */
export async function findImmutableTag(
  tx: Kysely<RegionSchema>,
  target: {
    readonly repositoryId: number
    /** Null: any. */
    readonly digest: string | null
    readonly immutable: ImmutablePatterns
  },
): Promise<ImmutableTag | null> {
  if (target.immutable.length === 0) return null
  let after = ''
  for (;;) {
    let query = tx
      .selectFrom('tag')
      .select(['name as tag', 'digest'])
      .where('repository_id', '=', target.repositoryId)
      .where('name', '>', after)
    if (target.digest !== null) query = query.where('digest', '=', target.digest)
    const rows = await query.orderBy('name').limit(TAGS_PER_STATEMENT).execute()
    const found = rows.find(({ tag }) => isImmutable(target.immutable, tag))
    if (found !== undefined) return found
    if (rows.length < TAGS_PER_STATEMENT) return null
    after = rows.at(-1)?.tag ?? ''
  }
}
