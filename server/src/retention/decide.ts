import { matchesAnyGlob } from '../access/glob.ts'
import type { RetentionPolicy, RetentionRule, UntaggedRule } from '../access/image-rules.ts'
import { matchesTagPatterns } from '../metastore/tag-pattern.ts'

/*
 * What a project's retention rules say about one tag or manifest. Pure: everything that is decided on is passed in.
 *
 * A tag is removed only if at least one rule means it and no rule that means it keeps it; a tag that no rule means is
 * kept. So rules never work against each other: adding one about other tags removes nothing that an earlier one keeps.
 */

const DAY_MS = 24 * 3_600_000

/** The rules that mean a repository. */
export interface RepositoryRules {
  readonly tags: readonly RetentionRule[]
  /** Null: manifests without a tag are kept. */
  readonly untagged: UntaggedRule | null
}

/** Of a project's rules those about one repository; null when there are none. Of several on untagged manifests the one that keeps longest holds. */
export function rulesAbout(policy: RetentionPolicy, path: string): RepositoryRules | null {
  const tags = policy.rules.filter((rule) => matchesAnyGlob(rule.repositories, path))
  const untagged = policy.untagged
    .filter((rule) => matchesAnyGlob(rule.repositories, path))
    .toSorted((a, b) => b.afterDays - a.afterDays)
  return tags.length === 0 && untagged.length === 0 ? null : { tags, untagged: untagged[0] ?? null }
}

/** A tag as the rules see it. Times in milliseconds since the epoch. */
export interface TagFacts {
  readonly name: string
  /** When it was last pushed. */
  readonly pushedAt: number
  /** When its image was last pulled, by whatever name; null: never. */
  readonly pulledAt: number | null
  readonly isImmutable: boolean
  /** Why its image must stay; null: nothing needs it. */
  readonly heldBy: string | null
  /** The digest that the tag is attached to, if that is there; null for every other tag. */
  readonly attachedTo: string | null
}

export interface Decision {
  readonly keep: boolean
  /** The rule that decided; null when none did. */
  readonly rule: string | null
  /** For people. */
  readonly reason: string
}

/** Whether a tag is among the newest that a rule counts. */
export type IsAmongLast = (rule: RetentionRule, tag: TagFacts) => boolean

/** Decides on one tag. */
export function decideOnTag(
  rules: readonly RetentionRule[],
  tag: TagFacts,
  nowMs: number,
  isAmongLast: IsAmongLast,
): Decision {
  if (tag.attachedTo !== null) return kept(`it belongs to ${tag.attachedTo} and goes with that`)
  if (tag.isImmutable) return kept('it is immutable by a rule of the project')
  if (tag.heldBy !== null) return kept(`its image is in use: ${tag.heldBy}`)
  const meant = rules.filter((rule) => matchesTagPatterns(rule.tags, tag.name))
  const first = meant[0]
  if (first === undefined) return kept('no rule is about it')
  for (const rule of meant) {
    const reason = reasonToKeep(rule, tag, nowMs, isAmongLast)
    if (reason !== null) return { keep: true, rule: rule.name, reason }
  }
  return { keep: false, rule: first.name, reason: reasonToRemove(meant, tag, nowMs) }
}

function kept(reason: string): Decision {
  return { keep: true, rule: null, reason }
}

function reasonToKeep(
  rule: RetentionRule,
  tag: TagFacts,
  nowMs: number,
  isAmongLast: IsAmongLast,
): string | null {
  const { keepLast, keepPushedWithinDays, keepPulledWithinDays } = rule
  if (keepLast !== null && isAmongLast(rule, tag)) return `among the last ${keepLast}`
  if (isWithin(tag.pushedAt, keepPushedWithinDays, nowMs)) return `pushed ${ago(tag.pushedAt, nowMs)}`
  if (tag.pulledAt !== null && isWithin(tag.pulledAt, keepPulledWithinDays, nowMs))
    return `pulled ${ago(tag.pulledAt, nowMs)}`
  return null
}

function reasonToRemove(rules: readonly RetentionRule[], tag: TagFacts, nowMs: number): string {
  const counts = rules.flatMap(({ keepLast }) => (keepLast === null ? [] : [keepLast]))
  return [
    ...(counts.length === 0 ? [] : [`not among the last ${Math.max(...counts)}`]),
    `pushed ${ago(tag.pushedAt, nowMs)}`,
    tag.pulledAt === null ? 'never pulled' : `pulled ${ago(tag.pulledAt, nowMs)}`,
  ].join(', ')
}

/** A manifest without a tag as the rules see it. */
export interface UntaggedFacts {
  /** The newest of: pushed, lost its last tag, pulled. */
  readonly usedAt: number
  /** What needs it: an index, the manifest that it refers to, something that runs; null: nothing. */
  readonly neededBy: string | null
}

/** Decides on one manifest without a tag. */
export function decideOnUntagged(rule: UntaggedRule, manifest: UntaggedFacts, nowMs: number): Decision {
  if (manifest.neededBy !== null) return kept(`needed by ${manifest.neededBy}`)
  const name = `untagged for ${rule.afterDays} days`
  const reason = `without a tag, a push or a pull for ${days(manifest.usedAt, nowMs)}`
  return { keep: isWithin(manifest.usedAt, rule.afterDays, nowMs), rule: name, reason }
}

function isWithin(at: number, withinDays: number | null, nowMs: number): boolean {
  return withinDays !== null && nowMs - at < withinDays * DAY_MS
}

function ago(at: number, nowMs: number): string {
  return nowMs - at < DAY_MS ? 'today' : `${days(at, nowMs)} ago`
}

function days(at: number, nowMs: number): string {
  const count = Math.max(0, Math.floor((nowMs - at) / DAY_MS))
  return `${count} day${count === 1 ? '' : 's'}`
}
