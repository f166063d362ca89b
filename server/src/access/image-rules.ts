import type { ImmutablePatterns } from '../metastore/queries/immutable-tag.ts'
import { matchesAnyGlob } from './glob.ts'

/*
 * A project's rules about its images, as its row holds them. The console checks them before they are written
 * (api/src/policies.ts); what cannot be read here counts as no rule that removes anything.
 */

/** Tags that never move and are never removed, in the repositories that one of the globs means. */
export interface ImmutableTagRule {
  readonly repositories: readonly string[]
  /** Tag patterns (metastore/tag-pattern.ts). */
  readonly tags: readonly string[]
}

/** Keeps tags; a tag that it means and does not keep may go. At least one of the `keep…` is set. */
export interface RetentionRule {
  readonly name: string
  readonly repositories: readonly string[]
  readonly tags: readonly string[]
  /** The newest so many of the tags that the rule means in a repository, by the time of their last push. */
  readonly keepLast: number | null
  readonly keepPushedWithinDays: number | null
  readonly keepPulledWithinDays: number | null
}

/** Removes manifests that had no tag, no push and no pull for so long, and that nothing needs. */
export interface UntaggedRule {
  readonly repositories: readonly string[]
  readonly afterDays: number
}

export interface RetentionPolicy {
  readonly rules: readonly RetentionRule[]
  readonly untagged: readonly UntaggedRule[]
}

/** Reads the column `immutable_tags`. */
export function readImmutableTags(json: string): readonly ImmutableTagRule[] {
  return (readJson(json) as readonly ImmutableTagRule[] | null) ?? []
}

/** Reads the column `retention`; null: everything is kept. */
export function readRetention(json: string | null): RetentionPolicy | null {
  return json === null ? null : (readJson(json) as RetentionPolicy | null)
}

const NO_PATTERNS: ImmutablePatterns = []

/** Of the rules those about a repository, as the commands that write take them. */
export function immutablePatternsIn(rules: readonly ImmutableTagRule[], path: string): ImmutablePatterns {
  if (rules.length === 0) return NO_PATTERNS
  return rules.filter((rule) => matchesAnyGlob(rule.repositories, path)).map((rule) => rule.tags)
}

function readJson(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return null
  }
}
