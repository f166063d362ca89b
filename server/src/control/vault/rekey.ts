import { ApiError } from '@berth/api/errors'
import type { VaultRekeyed } from '@berth/api/vault'
import { loadLatestAccessSeq } from '../../metastore/queries/access-feed.ts'
import type { ChangeOrigin } from '../../metastore/queries/control-audit.ts'
import { loadInstallation } from '../../metastore/queries/installation.ts'
import {
  adoptRootKey,
  beginRekey,
  endRekey,
  listKeysOfOtherRoots,
  listProjectsToRekey,
  replaceWrappedKeys,
} from '../../metastore/queries/rekey.ts'
import { VaultError } from '../../vault/aead.ts'
import { rewrapProjectKey, type WrappedProjectKey } from '../../vault/project-key.ts'
import { openInstallationKey, rootKeyFacts } from '../../vault/root-keys.ts'
import type { ControlRuntime } from '../runtime.ts'
import { createProjectRekeyer } from './rekey-project.ts'
import { activeRootId, vaultStatus } from './status.ts'

/** Project keys that one transaction puts under another root key. */
const REWRAP_BATCH = 100
/** Projects that are looked up at once. */
const PROJECT_BATCH = 20
/** After this long a call answers, and the caller asks for more. */
const STEP_MS = 2_000

type Origin = () => ChangeOrigin

/**
 * Does a part of a change of keys: first the root key, if the process was given a new one, then a new key for each
 * project. Nothing of it is kept in memory, so whoever calls next, on any replica, goes on where the work stands.
 * Raises `root_key_missing`.
 */
export async function rekey(
  runtime: ControlRuntime,
  { projectKeys }: { readonly projectKeys: boolean },
  origin: Origin,
  signal: AbortSignal,
): Promise<VaultRekeyed> {
  const deadline = performance.now() + STEP_MS
  const mayGoOn = () => performance.now() < deadline && !signal.aborted
  await adoptNewRootKey(runtime, origin)
  const rewrapped = await rewrapAll(runtime, mayGoOn)
  const done =
    projectKeys && rewrapped.complete
      ? await rekeyProjects(runtime, origin, mayGoOn)
      : { ...NOTHING, complete: rewrapped.complete }
  // Only when each region has what was changed, here or by a call that broke off, is the key from before not needed.
  const pendingRegions = done.complete ? await regionsBehind(runtime) : done.pendingRegions
  const isDone = done.complete && pendingRegions.length === 0
  if (isDone && projectKeys) await runtime.db.run(endRekey, { origin: origin() })
  return {
    ...(await vaultStatus(runtime)),
    done: isDone,
    rewrappedKeys: rewrapped.keys,
    rekeyedProjects: done.projects,
    resealedSecrets: done.secrets,
    unreadable: done.unreadable,
    pendingRegions: [...pendingRegions],
  }
}

async function regionsBehind({ db, revocation }: ControlRuntime): Promise<readonly string[]> {
  return (await revocation.waitUntilApplied(await loadLatestAccessSeq(db.reader))).pendingRegions
}

/** Moves the canary and the installation key in one transaction, when the installation is on the root key before. */
async function adoptNewRootKey(runtime: ControlRuntime, origin: Origin): Promise<void> {
  const { current, previous } = runtime.rootKeys
  const facts = await loadInstallation(runtime.db.reader)
  const active = facts.get('root_key_id') ?? ''
  if (active === current.id) return
  if (previous === null || previous.id !== active) throw new ApiError('root_key_missing')
  const installationKey = openInstallationKey(previous, facts.get('installation_key') ?? null)
  const { adopted } = await runtime.db.run(adoptRootKey, {
    fromRootId: active,
    facts: rootKeyFacts(current, installationKey),
    origin: origin(),
  })
  // Another process did it meanwhile, or put the installation on a root key that this one does not know.
  if (!adopted && (await activeRootId(runtime)) !== current.id) throw new ApiError('root_key_missing')
}

async function rewrapAll(
  runtime: ControlRuntime,
  mayGoOn: () => boolean,
): Promise<{ keys: number; complete: boolean }> {
  const { db, rootKeys } = runtime
  let keys = 0
  while (mayGoOn()) {
    const rows = await listKeysOfOtherRoots(db.reader, rootKeys.current.id, REWRAP_BATCH)
    if (rows.length === 0) return { keys, complete: true }
    const batch = rows.map((row) => {
      const stored = {
        projectId: row.project_id,
        version: row.version,
        rootId: row.root_id,
        wrapped: row.wrapped,
      }
      return { before: row.wrapped, after: rewrapped(runtime, stored) }
    })
    const { replaced } = await db.run(replaceWrappedKeys, { keys: batch, nowMs: await db.nowMs() })
    keys += replaced
  }
  return { keys, complete: false }
}

function rewrapped({ rootKeys, log }: ControlRuntime, stored: WrappedProjectKey): WrappedProjectKey {
  try {
    return rewrapProjectKey(stored, rootKeys, rootKeys.current)
  } catch (cause) {
    if (!(cause instanceof VaultError)) throw cause
    const { projectId, version } = stored
    log.error({ project: projectId, version, err: cause }, 'the key of a project cannot be opened')
    throw new ApiError('root_key_missing', `The key of project ${projectId}: ${cause.message}`, { cause })
  }
}

interface ProjectsDone {
  readonly projects: number
  readonly secrets: number
  readonly unreadable: string[]
  readonly pendingRegions: string[]
  readonly complete: boolean
}

const NOTHING: ProjectsDone = { projects: 0, secrets: 0, unreadable: [], pendingRegions: [], complete: true }

async function rekeyProjects(
  runtime: ControlRuntime,
  origin: Origin,
  mayGoOn: () => boolean,
): Promise<ProjectsDone> {
  const { db } = runtime
  const { startedAt } = await db.run(beginRekey, { origin: origin() })
  const rekeyProject = createProjectRekeyer(runtime, startedAt)
  const done = { projects: 0, secrets: 0, unreadable: [] as string[], pendingRegions: new Set<string>() }
  // One that cannot be finished now stays on the list, but is not tried again in this call.
  let afterId = ''
  let complete = false
  while (mayGoOn()) {
    const projectIds = await listProjectsToRekey(db.reader, startedAt, { afterId, limit: PROJECT_BATCH })
    if (projectIds.length === 0) {
      complete = true
      break
    }
    for (const projectId of projectIds) {
      if (!mayGoOn()) break
      const { secrets, unreadable, pendingRegions, finished } = await rekeyProject(projectId)
      done.secrets += secrets
      done.unreadable.push(...unreadable)
      for (const region of pendingRegions) done.pendingRegions.add(region)
      if (finished) done.projects += 1
      afterId = projectId
    }
  }
  const pendingRegions = [...done.pendingRegions]
  // What is unreadable keeps its old key, and does not keep the rest from being done.
  return { ...done, pendingRegions, complete: complete && pendingRegions.length === 0 }
}
