import { randomUUID } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { immutablePatternsIn, readImmutableTags, readRetention } from '../access/image-rules.ts'
import type { Database } from '../metastore/database.ts'
import { loadAccessProject } from '../metastore/queries/access-copy.ts'
import { listRepositories } from '../metastore/queries/browse.ts'
import { type GoingManifests, loadFreedBytes } from '../metastore/queries/freed-bytes.ts'
import {
  type RemovalResult,
  type RulesText,
  removeRetainedTag,
  removeUntagged,
} from '../metastore/queries/retention.ts'
import {
  beginRetentionRun,
  finishRetentionRun,
  RETENTION_RUN_RENEW_MS,
  type RetentionResult,
  renewRetentionRun,
} from '../metastore/queries/retention-run.ts'
import { listParts, loadNeed } from '../metastore/queries/trash-manifests.ts'
import type { RegionSchema, RepositoryRow } from '../metastore/region-schema.ts'
import { rulesAbout } from './decide.ts'
import { type PlannedRepository, planRepository, type Verdict } from './plan.ts'

/** Where rules are applied. */
export interface RetentionRegion {
  readonly db: Database<RegionSchema>
  readonly trashMs: number
}

/** Removals of one run; the next goes on. */
const MAX_REMOVALS_PER_RUN = 20_000
const REPOSITORIES_PER_PAGE = 100
/** Images that a forecast looks at between two turns of the event loop. */
const LOOKS_PER_TURN = 50

/** A repository that some rule of its project means. */
export interface RepositoryPlan extends PlannedRepository {
  readonly path: string
}

/** A project's rules as its row holds them. */
export interface ProjectRules extends RulesText {
  readonly projectId: string
}

/** The repositories of a project that its retention rules mean, by path; empty when there are no rules. */
export async function* plannedRepositories(
  db: Database<RegionSchema>,
  rules: ProjectRules,
  afterPath: string | null = null,
): AsyncGenerator<RepositoryPlan> {
  const policy = readRetention(rules.retention)
  if (policy === null) return
  for (let after = afterPath; ; ) {
    const page = { afterPath: after, prefix: '', liveOnly: false, limit: REPOSITORIES_PER_PAGE }
    const repositories = await listRepositories(db.reader, rules.projectId, page)
    for (const row of repositories) {
      const plan = planOfRepository(row, rules)
      if (plan !== null) yield plan
    }
    if (repositories.length < REPOSITORIES_PER_PAGE) return
    after = repositories.at(-1)?.path ?? null
  }
}

/** The same for one repository; null when no rule means it. */
export function planOfRepository(row: RepositoryRow, project: ProjectRules): RepositoryPlan | null {
  const policy = readRetention(project.retention)
  const rules = policy === null ? null : rulesAbout(policy, row.path)
  if (rules === null) return null
  const immutable = immutablePatternsIn(readImmutableTags(project.immutableTags), row.path)
  return { repositoryId: row.id, path: row.path, rules, immutable }
}

export interface RetentionOptions {
  readonly projectId: string
  /** Whom a request of a person names; a run of the schedule has an id of its own. */
  readonly requestId: string
  readonly signal: AbortSignal
  /** Begin only if the newest run began before that. */
  readonly startedBefore: number
}

/**
 * Applies a project's rules in one region, one removal at a time, each in a transaction of its own that looks again.
 * Null: another process applies them, or did lately. Throws what the database throws, after recording the failure.
 */
export async function runRetention(
  region: RetentionRegion,
  options: RetentionOptions,
): Promise<RetentionResult | null> {
  const { db } = region
  const { projectId, startedBefore } = options
  const owner = randomUUID()
  const begin = { projectId, owner, nowMs: await db.nowMs(), startedBefore }
  if (!(await db.run(beginRetentionRun, begin))) return null
  const tally = { removedTags: 0, removedManifests: 0 }
  let result: RetentionResult = { ...tally, outcome: 'failed', detail: 'interrupted' }
  try {
    const detail = await applyRules(region, options, owner, tally)
    result = { ...tally, outcome: 'done', detail }
  } catch (error) {
    result = { ...tally, outcome: 'failed', detail: error instanceof Error ? error.message : 'failed' }
    throw error
  } finally {
    await db.run(finishRetentionRun, { projectId, owner, nowMs: await db.nowMs(), result })
  }
  return result
}

async function applyRules(
  region: RetentionRegion,
  { projectId, requestId, signal }: RetentionOptions,
  owner: string,
  tally: { removedTags: number; removedManifests: number },
): Promise<string | null> {
  const { db, trashMs } = region
  const project = await loadAccessProject(db.reader, projectId)
  if (project === null || project.deleted_at !== null) return 'the project is deleted'
  const rules = { projectId, retention: project.retention, immutableTags: project.immutable_tags }
  let renewedAt = performance.now()
  let removals = 0
  for await (const { path, ...repository } of plannedRepositories(db, rules)) {
    for await (const verdict of planRepository(db.reader, repository, await db.nowMs())) {
      if (signal.aborted) return 'stopped with the process; the next run goes on'
      if (performance.now() - renewedAt > RETENTION_RUN_RENEW_MS) {
        renewedAt = performance.now()
        if (!(await db.run(renewRetentionRun, { projectId, owner, nowMs: await db.nowMs() })))
          return 'another process took over'
      }
      if (verdict.keep) continue
      const target = { projectId, repositoryId: repository.repositoryId, path, requestId, trashMs, rules }
      const removed = await remove(db, target, verdict)
      if (!removed.ok && removed.reason === 'rules_changed')
        return 'the rules changed meanwhile; the next run applies the new ones'
      if (!removed.ok) continue
      if (verdict.kind === 'tag') tally.removedTags += 1
      tally.removedManifests += removed.manifests
      removals += 1
      if (removals >= MAX_REMOVALS_PER_RUN) return 'more is left for the next run'
    }
  }
  return null
}

async function remove(
  db: Database<RegionSchema>,
  target: {
    projectId: string
    repositoryId: number
    path: string
    requestId: string
    trashMs: number
    rules: RulesText
  },
  verdict: Verdict,
): Promise<RemovalResult> {
  const { digest, reason } = verdict
  const args = { ...target, digest, reason, rule: verdict.rule ?? '', nowMs: await db.nowMs() }
  return verdict.kind === 'tag'
    ? db.run(removeRetainedTag, { ...args, tag: verdict.tag, version: verdict.version })
    : db.run(removeUntagged, { ...args, since: verdict.since })
}

export interface RetentionForecast {
  readonly keptTags: number
  readonly removedTags: number
  readonly removedManifests: number
  /** What comes back to the disk when the trash of it is purged. */
  readonly freedBytes: number
  /** Not everything was looked at: there is more than one run removes. */
  readonly isPartial: boolean
}

/** What one run of at most `maxRemovals` would remove now, and free; removes nothing. */
export async function forecastRetention(
  { db }: RetentionRegion,
  projectId: string,
  signal: AbortSignal,
  maxRemovals = MAX_REMOVALS_PER_RUN,
): Promise<RetentionForecast> {
  const project = await loadAccessProject(db.reader, projectId)
  const forecast = { keptTags: 0, removedTags: 0, removedManifests: 0, isPartial: false }
  const going: GoingManifests[] = []
  let removals = 0
  let isEnough = false
  if (project === null || project.deleted_at !== null) return { ...forecast, freedBytes: 0 }
  const rules = { projectId, retention: project.retention, immutableTags: project.immutable_tags }
  for await (const { path: _path, ...repository } of plannedRepositories(db, rules)) {
    const untagging = new Map<string, Set<string>>()
    const digests = new Set<string>()
    for await (const verdict of planRepository(db.reader, repository, await db.nowMs())) {
      isEnough = signal.aborted || removals >= maxRemovals
      if (isEnough) break
      if (!verdict.keep) removals += 1
      if (verdict.kind === 'manifest') {
        if (!verdict.keep) digests.add(verdict.digest)
      } else if (verdict.keep) forecast.keptTags += 1
      else {
        forecast.removedTags += 1
        const tags = untagging.get(verdict.digest) ?? new Set()
        untagging.set(verdict.digest, tags.add(verdict.tag))
      }
    }
    const { repositoryId } = repository
    let looks = 0
    for (const [digest, tags] of untagging) {
      if (!(await isKept(db, repositoryId, digest, tags))) digests.add(digest)
      looks += 1
      if (looks % LOOKS_PER_TURN === 0) await nextTurn()
    }
    const options = { maxParts: maxRemovals, pause: nextTurn }
    const parts = await listParts(db.reader, repositoryId, [...digests], options)
    if (!parts.isComplete || isEnough) forecast.isPartial = true
    for (const part of parts.digests) digests.add(part)
    forecast.removedManifests += digests.size
    going.push({ repositoryId, digests: [...digests] })
    // To begin with another repository is to read all of its tags.
    if (isEnough) break
  }
  return { ...forecast, freedBytes: await loadFreedBytes(db.reader, going) }
}

/** Whether something besides tags that go needs the manifest. */
async function isKept(
  db: Database<RegionSchema>,
  repositoryId: number,
  digest: string,
  going: ReadonlySet<string>,
): Promise<boolean> {
  const need = await loadNeed(db.reader, repositoryId, digest, { exceptTags: going })
  return need !== null
}
