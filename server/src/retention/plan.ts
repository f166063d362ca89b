import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import type { RetentionRule } from '../access/image-rules.ts'
import { subjectOfAttachedTag } from '../metastore/attached-tag.ts'
import { listHolds } from '../metastore/queries/image-hold.ts'
import { type ImmutablePatterns, isImmutable } from '../metastore/queries/immutable-tag.ts'
import {
  listLiveDigests,
  listTagsForRetention,
  listUntagged,
  loadImagePulls,
  type RetainedTag,
  type UntaggedManifest,
} from '../metastore/queries/retention.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import { matchesTagPatterns } from '../metastore/tag-pattern.ts'
import {
  type Decision,
  decideOnTag,
  decideOnUntagged,
  type IsAmongLast,
  type RepositoryRules,
} from './decide.ts'

/** What the rules say about one tag, or about one manifest without a tag. */
export type Verdict = Decision & {
  readonly digest: string
  readonly pulledAt: number | null
} & (
    | { readonly kind: 'tag'; readonly tag: string; readonly version: number; readonly pushedAt: number }
    /** The newer of its last push and the loss of its last tag. */
    | { readonly kind: 'manifest'; readonly since: number }
  )

/** Where a walk through a repository goes on: after that tag, or after that manifest without a tag. */
export interface PlanPlace {
  readonly kind: 'tag' | 'manifest'
  readonly after: string
}

export const PLAN_START: PlanPlace = { kind: 'tag', after: '' }

export interface PlannedRepository {
  readonly repositoryId: number
  readonly rules: RepositoryRules
  readonly immutable: ImmutablePatterns
}

/** Rows that one statement reads; between two the event loop takes a turn, because reads on SQLite hold it up. */
const PLAN_BATCH = 200
const COUNT_BATCH = 1_000

/**
 * What the rules say about everything in a repository, as of now: its tags by name, then its manifests without a tag by
 * digest. Reads some rows at a time; memory does not grow with the repository.
 */
export async function* planRepository(
  reader: Kysely<RegionSchema>,
  repository: PlannedRepository,
  nowMs: number,
  start: PlanPlace = PLAN_START,
): AsyncGenerator<Verdict> {
  if (start.kind === 'tag') yield* planTags(reader, repository, nowMs, start.after)
  yield* planUntagged(reader, repository, nowMs, start.kind === 'manifest' ? start.after : '')
}

async function* planTags(
  reader: Kysely<RegionSchema>,
  { repositoryId, rules, immutable }: PlannedRepository,
  nowMs: number,
  after: string,
): AsyncGenerator<Verdict> {
  if (rules.tags.length === 0) return
  const isAmongLast = await findLast(reader, repositoryId, rules.tags)
  for (let afterName = after; ; ) {
    const tags = await listTagsForRetention(reader, repositoryId, { afterName, limit: PLAN_BATCH })
    const digests = tags.map(({ digest }) => digest)
    const pulls = await loadImagePulls(reader, repositoryId, digests)
    const holds = await listHolds(reader, repositoryId, digests)
    const subjects = await listSubjects(reader, repositoryId, tags)
    for (const tag of tags) {
      const facts = {
        name: tag.name,
        pushedAt: tag.updated_at,
        pulledAt: pulls.get(tag.digest) ?? null,
        isImmutable: isImmutable(immutable, tag.name),
        heldBy: holds.get(tag.digest)?.[0] ?? null,
        attachedTo: subjects.get(tag.name) ?? null,
      }
      yield {
        ...decideOnTag(rules.tags, facts, nowMs, isAmongLast),
        kind: 'tag',
        tag: tag.name,
        version: tag.version,
        digest: tag.digest,
        pushedAt: facts.pushedAt,
        pulledAt: facts.pulledAt,
      }
    }
    if (tags.length < PLAN_BATCH) return
    afterName = tags.at(-1)?.name ?? ''
    await nextTurn()
  }
}

/** Of the attached tags what they belong to, where that is there. */
async function listSubjects(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  tags: readonly RetainedTag[],
): Promise<ReadonlyMap<string, string>> {
  const attached = tags.flatMap(({ name }) => {
    const subject = subjectOfAttachedTag(name)
    return subject === null ? [] : [[name, subject] as const]
  })
  const subjects = attached.map(([, subject]) => subject)
  const live = await listLiveDigests(reader, repositoryId, subjects)
  return new Map(attached.filter(([, subject]) => live.has(subject)))
}

type Push = Pick<RetainedTag, 'name' | 'updated_at'>

function newestFirst(a: Push, b: Push): number {
  return b.updated_at - a.updated_at || (a.name < b.name ? 1 : -1)
}

/** Finds for each rule that counts the oldest tag that it still counts. Attached tags are no versions of an image. */
async function findLast(
  reader: Kysely<RegionSchema>,
  repositoryId: number,
  rules: readonly RetentionRule[],
): Promise<IsAmongLast> {
  const newest = new Map<RetentionRule, Push[]>()
  for (const rule of rules) if (rule.keepLast !== null) newest.set(rule, [])
  for (let afterName = ''; newest.size > 0; ) {
    const tags = await listTagsForRetention(reader, repositoryId, { afterName, limit: COUNT_BATCH })
    for (const [rule, pushes] of newest) {
      const meant = tags.filter(
        ({ name }) => matchesTagPatterns(rule.tags, name) && subjectOfAttachedTag(name) === null,
      )
      newest.set(rule, [...pushes, ...meant].sort(newestFirst).slice(0, rule.keepLast ?? 0))
    }
    if (tags.length < COUNT_BATCH) break
    afterName = tags.at(-1)?.name ?? ''
    await nextTurn()
  }
  return (rule, tag) => {
    const pushes = newest.get(rule) ?? []
    const oldest = pushes.at(-1)
    if (oldest === undefined) return false
    return (
      pushes.length < (rule.keepLast ?? 0) ||
      newestFirst({ name: tag.name, updated_at: tag.pushedAt }, oldest) <= 0
    )
  }
}

async function* planUntagged(
  reader: Kysely<RegionSchema>,
  { repositoryId, rules }: PlannedRepository,
  nowMs: number,
  after: string,
): AsyncGenerator<Verdict> {
  const rule = rules.untagged
  if (rule === null) return
  for (let afterDigest = after; ; ) {
    const manifests = await listUntagged(reader, repositoryId, { afterDigest, limit: PLAN_BATCH })
    const digests = manifests.map(({ digest }) => digest)
    const pulls = await loadImagePulls(reader, repositoryId, digests)
    for (const manifest of manifests) {
      const pulledAt = pulls.get(manifest.digest) ?? null
      const usedAt = Math.max(manifest.since, pulledAt ?? 0)
      const facts = { usedAt, neededBy: needOf(manifest) }
      const { digest, since } = manifest
      yield { ...decideOnUntagged(rule, facts, nowMs), kind: 'manifest', digest, since, pulledAt }
    }
    if (manifests.length < PLAN_BATCH) return
    afterDigest = manifests.at(-1)?.digest ?? ''
    await nextTurn()
  }
}

function needOf({ held_by, parent, subject }: UntaggedManifest): string | null {
  if (held_by !== null) return `what runs: ${held_by}`
  if (parent !== null) return `the index ${parent}`
  return subject === null ? null : `its subject ${subject}`
}
