import type { Database } from '../metastore/database.ts'
import {
  type AccessChanges,
  applyAccessChanges,
  applyErasingAccessChanges,
  loadAppliedAccessSeq,
  mayEraseSecrets,
  rewindAccessCopy,
} from '../metastore/queries/access-copy.ts'
import { ACCESS_FEED_CHANNEL } from '../metastore/queries/access-feed.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { AccessChange, AccessSource } from './access-source.ts'
import { FEED_BATCH } from './limits.ts'

/** The control plane cannot be asked. The region goes on with the copy that it has. */
export class AccessSourceUnavailableError extends Error {
  override readonly name = 'AccessSourceUnavailableError'

  constructor(cause: unknown) {
    super('the access feed cannot be read', { cause })
  }
}

/**
 * Brings a region's copy of the access rules up to what the control plane has now. Any number of processes may do so
 * at once. Returns the number that is applied.
 *
 * Throws `AccessSourceUnavailableError` when the control plane cannot be asked, and what the region's database throws.
 */
export async function applyFeed(source: AccessSource, db: Database<RegionSchema>): Promise<number> {
  for (;;) {
    // In this order: the latest number is never below one that was applied before it was read.
    const appliedSeq = await loadAppliedAccessSeq(db.reader)
    const latestSeq = await ask(() => source.latestSeq())
    if (latestSeq === appliedSeq) return appliedSeq
    if (latestSeq < appliedSeq) {
      await db.run(rewindAccessCopy, { latestSeq })
      continue
    }
    const changes = await ask(() => source.changesAfter(appliedSeq, FEED_BATCH))
    const last = changes.at(-1)
    if (last === undefined) throw new AccessSourceUnavailableError(new Error('the feed has a gap at its end'))
    const changed = await loadChanged(source, appliedSeq, last.seq, changes)
    await db.run(mayEraseSecrets(changed) ? applyErasingAccessChanges : applyAccessChanges, changed)
    await db.notify(ACCESS_FEED_CHANNEL)
  }
}

/** Reads from the control plane; an error of it is told apart from one of the region's database. */
export async function ask<Answer>(question: () => Promise<Answer>): Promise<Answer> {
  try {
    return await question()
  } catch (error) {
    throw new AccessSourceUnavailableError(error)
  }
}

async function loadChanged(
  source: AccessSource,
  fromSeq: number,
  toSeq: number,
  changes: readonly AccessChange[],
): Promise<AccessChanges> {
  const projects: AccessChanges['projects'][number][] = []
  const keys: AccessChanges['keys'][number][] = []
  const missingKeyIds: string[] = []
  const trustRules: AccessChanges['trustRules'][number][] = []
  const missingTrustRuleIds: string[] = []
  const registries: AccessChanges['registries'][number][] = []
  const missingRegistryIds: string[] = []
  for (const id of idsOf(changes, 'project')) {
    const project = await ask(() => source.loadProject(id))
    if (project !== null) projects.push(project)
  }
  for (const id of idsOf(changes, 'key')) {
    const key = await ask(() => source.loadKey(id))
    if (key === null) missingKeyIds.push(id)
    else keys.push(key)
  }
  for (const id of idsOf(changes, 'trust_rule')) {
    const rule = await ask(() => source.loadTrustRule(id))
    if (rule === null) missingTrustRuleIds.push(id)
    else trustRules.push(rule)
  }
  for (const id of idsOf(changes, 'registry')) {
    const registry = await ask(() => source.loadRegistry(id))
    if (registry === null) missingRegistryIds.push(id)
    else registries.push(registry)
  }
  return {
    fromSeq,
    toSeq,
    projects,
    keys,
    missingKeyIds,
    trustRules,
    missingTrustRuleIds,
    registries,
    missingRegistryIds,
  }
}

function idsOf(changes: readonly AccessChange[], kind: AccessChange['kind']): Set<string> {
  return new Set(changes.filter((change) => change.kind === kind).map((change) => change.entityId))
}
