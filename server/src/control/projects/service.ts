import { randomInt } from 'node:crypto'
import type { Role } from '@berth/api/access'
import { ApiError } from '@berth/api/errors'
import type { Project, ProjectCreate, ProjectDeleted, ProjectUpdate } from '@berth/api/projects'
import { parseNamespace } from '@berth/oci/name'
import type { ProjectRow } from '../../metastore/control-schema.ts'
import { DatabaseUnavailableError } from '../../metastore/database.ts'
import type { ChangeOrigin } from '../../metastore/queries/control-audit.ts'
import { enqueueDeletedProjects } from '../../metastore/queries/deleted-project.ts'
import {
  createProject as createProjectCommand,
  deleteProject as deleteProjectCommand,
  type NewProject,
  updateProject as updateProjectCommand,
} from '../../metastore/queries/project.ts'
import { checkGlobs } from '../globs.ts'
import { findReleased } from '../namespaces/service.ts'
import { NAMESPACE_ATTEMPTS } from '../limits.ts'
import { propagate, propagateEverywhere } from '../propagate.ts'
import type { ControlRegion, ControlRuntime } from '../runtime.ts'
import { toTimestamp } from '../time.ts'

// Base32 without the letters that are easily taken for digits; never reused (access/project-id.ts).
const ID_ALPHABET = 'abcdefghijkmnpqrstuvwxyz23456789'
const ID_LENGTH = 12

/** A project as the contract shows it to somebody with this role in it. */
export function toProject(runtime: ControlRuntime, row: ProjectRow, role: Role | null): Project {
  return {
    id: row.id,
    namespace: row.namespace,
    name: row.name,
    quotaBytes: row.quota_bytes,
    publicRepositories: JSON.parse(row.public_repositories) as string[],
    allowSparseIndexes: row.allow_sparse_indexes === 1,
    homeRegion: homeRegionOf(runtime, row),
    registryHost: runtime.sharedHost?.host ?? null,
    role,
    createdAt: toTimestamp(row.created_at),
  }
}

/**
 * Creates a project and waits until every replica knows it, so that a push right after succeeds. `ownerId`: the person
 * who becomes its owner; null for the operator token.
 * Raises `namespace_taken`, or `validation_failed` when no namespace can be made from the name.
 */
export async function createProject(
  runtime: ControlRuntime,
  request: ProjectCreate,
  ownerId: string | null,
  origin: ChangeOrigin,
): Promise<Project> {
  const publicRepositories = request.publicRepositories ?? []
  checkGlobs(publicRepositories, 'body.publicRepositories')
  checkRegion(runtime, request.homeRegion)
  const base = {
    name: request.name,
    quotaBytes: request.quotaBytes ?? null,
    publicRepositories,
    allowSparseIndexes: request.allowSparseIndexes ?? false,
    homeRegionId: request.homeRegion ?? null,
  }
  for (const namespace of namespaceCandidates(request)) {
    const project: NewProject = { ...base, id: newProjectId(), namespace }
    const released = await findReleased(runtime, namespace)
    const args = { project, ownerId, released, origin }
    const outcome = await runtime.db.run(createProjectCommand, args)
    if (!outcome.ok) continue
    await propagate(runtime, outcome.seq)
    return toProject(runtime, outcome.project, ownerId === null ? null : 'owner')
  }
  const taken = request.namespace ?? slugOf(request.name)
  throw new ApiError('namespace_taken', `The namespace "${taken}" is taken, now or by a deleted project.`, {
    errors: [{ path: 'body.namespace', message: 'is taken' }],
  })
}

/** The first region is everybody's home until another one is chosen; so is it when the chosen one is not served any more. */
export function homeRegionOf({ regions }: ControlRuntime, { home_region_id: chosen }: ProjectRow): string {
  if (chosen !== null && regions.has(chosen)) return chosen
  return regions.keys().next().value ?? ''
}

function checkRegion({ regions }: ControlRuntime, id: string | undefined): void {
  if (id === undefined || regions.has(id)) return
  throw new ApiError('validation_failed', `There is no region "${id}".`, {
    errors: [{ path: 'body.homeRegion', message: `must be one of ${[...regions.keys()].join(', ')}` }],
  })
}

/** The namespace asked for, or those that are tried for a name: `my-app`, `my-app-2`, `my-app-3`… */
function namespaceCandidates({ name, namespace }: ProjectCreate): string[] {
  if (namespace !== undefined) return [namespace]
  const slug = slugOf(name)
  const candidates = Array.from({ length: NAMESPACE_ATTEMPTS }, (_, i) =>
    i === 0 ? slug : `${slug}-${i + 1}`,
  )
  const valid = candidates.filter((candidate) => parseNamespace(candidate) !== null)
  if (valid.length > 0) return valid
  throw new ApiError('validation_failed', 'No namespace can be made from the name; give one.', {
    errors: [{ path: 'body.namespace', message: 'is needed: the name has too few of a-z and 0-9' }],
  })
}

function slugOf(name: string): string {
  return name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 55)
    .replace(/^-+|-+$/g, '')
}

function newProjectId(): string {
  return Array.from({ length: ID_LENGTH }, () => ID_ALPHABET.charAt(randomInt(ID_ALPHABET.length))).join('')
}

/** Changes a project; new rules are true everywhere when it returns. Raises `project_not_found`. */
export async function updateProject(
  runtime: ControlRuntime,
  id: string,
  request: ProjectUpdate,
  role: Role | null,
  origin: ChangeOrigin,
): Promise<Project> {
  if (request.publicRepositories !== undefined) {
    checkGlobs(request.publicRepositories, 'body.publicRepositories')
  }
  checkRegion(runtime, request.homeRegion)
  const { name, quotaBytes, publicRepositories, allowSparseIndexes, homeRegion } = request
  const change = {
    ...(name === undefined ? {} : { name }),
    ...(quotaBytes === undefined ? {} : { quotaBytes }),
    ...(publicRepositories === undefined ? {} : { publicRepositories }),
    ...(allowSparseIndexes === undefined ? {} : { allowSparseIndexes }),
    ...(homeRegion === undefined ? {} : { homeRegionId: homeRegion }),
  }
  const outcome = await runtime.db.run(updateProjectCommand, { id, change, origin })
  if (!outcome.ok) throw new ApiError('project_not_found')
  // Who makes a repository private relies on it: then a region that cannot confirm it is an error, not a detail.
  const settle = publicRepositories === undefined ? propagate : propagateEverywhere
  if (outcome.seq !== null) await settle(runtime, outcome.seq)
  return toProject(runtime, outcome.project, role)
}

/**
 * Deletes a project. When it returns nothing of it is served any more, except in regions that it names as pending, and
 * the removal of its data is queued. Raises `confirmation_required`, `project_not_found`.
 */
export async function deleteProject(
  runtime: ControlRuntime,
  project: ProjectRow,
  confirm: string | undefined,
  origin: ChangeOrigin,
): Promise<ProjectDeleted> {
  if (confirm !== project.namespace) {
    throw new ApiError(
      'confirmation_required',
      `This deletes the project with all its data. Repeat the request with ?confirm=${project.namespace}.`,
    )
  }
  const outcome = await runtime.db.run(deleteProjectCommand, { id: project.id, origin })
  if (!outcome.ok) throw new ApiError('project_not_found')
  const propagation = await propagate(runtime, outcome.seq)
  for (const region of runtime.regions.values()) await queueRemoval(runtime, region)
  return {
    id: project.id,
    namespace: project.namespace,
    deletedAt: toTimestamp(outcome.project.deleted_at ?? origin.nowMs),
    propagation,
  }
}

/** A region that is down queues the removal itself when it is back: `enqueueDeletedProjects` runs with every cycle. */
async function queueRemoval(runtime: ControlRuntime, { region, db }: ControlRegion): Promise<void> {
  try {
    await db.run(enqueueDeletedProjects, { nowMs: await db.nowMs() })
  } catch (error) {
    if (!(error instanceof DatabaseUnavailableError)) throw error
    runtime.log.warn({ region: region.id, err: error }, 'the removal of a project could not be queued yet')
  }
}
