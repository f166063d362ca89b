import { randomInt } from 'node:crypto'
import { ApiError } from '@berth/api/errors'
import { MAX_THIRD_PARTY_REGISTRIES } from '@berth/api/limits'
import type { RegistryChanged, RegistryCreate, RegistryDeleted, RegistryUpdate } from '@berth/api/registries'
import type { ProjectRow, RegistryRow } from '../../metastore/control-schema.ts'
import type { ChangeOrigin } from '../../metastore/queries/control-audit.ts'
import { anyRepositoryUnder } from '../../metastore/queries/reserved-component.ts'
import { loadDeletedRegistry, loadRegistry, registrySecretContext } from '../../metastore/queries/registry.ts'
import {
  createRegistry as createRegistryCommand,
  deleteRegistry as deleteRegistryCommand,
  type NewRegistry,
  type RegistryChange,
  type StoredLogin,
  updateRegistry as updateRegistryCommand,
} from '../../metastore/queries/registry-commands.ts'
import { propagate, propagateEverywhere } from '../propagate.ts'
import type { ControlRuntime } from '../runtime.ts'
import { checkHost, exchangeOf, knownProvider, slugOfHost } from './provider.ts'
import { sealForStorage } from './seal-for-storage.ts'
import { toRegistry } from './to-registry.ts'

const ID_ALPHABET = 'abcdefghijkmnpqrstuvwxyz23456789'
const ID_LENGTH = 12
/** For so long a deletion can be repeated until every region has confirmed it; then its id is unknown. */
const DELETION_REPEATED_WITHIN_MS = 86_400_000
/** How often a slug that nobody asked for is tried with a number behind it. */
const SLUG_ATTEMPTS = 10

/** A registry of the project. Raises `registry_not_found`. */
export async function findRegistry(
  runtime: ControlRuntime,
  project: ProjectRow,
  id: string,
): Promise<RegistryRow> {
  const row = await loadRegistry(runtime.db.reader, project.id, id)
  if (row === null) throw new ApiError('registry_not_found')
  return row
}

/** The same for third-party ones. Raises `registry_not_found`, `registry_kind`. */
export async function findThirdParty(
  runtime: ControlRuntime,
  project: ProjectRow,
  id: string,
): Promise<RegistryRow & { provider: Exclude<RegistryRow['provider'], 'managed'> }> {
  const row = await findRegistry(runtime, project, id)
  const { provider } = row
  if (provider === 'managed') {
    throw new ApiError('registry_kind', `"${row.name}" is a managed registry: this is for third-party ones.`)
  }
  return { ...row, provider }
}

/**
 * Connects a third-party registry; it works everywhere when this returns.
 * Raises `validation_failed`, `slug_taken`, `too_many_registries`, `project_not_found`.
 */
export async function createRegistry(
  runtime: ControlRuntime,
  project: ProjectRow,
  request: RegistryCreate,
  origin: ChangeOrigin,
): Promise<RegistryChanged> {
  const { provider } = request
  const host = checkHost(runtime, provider, request.host)
  const login = readLogin(request)
  const known = knownProvider(provider)
  const registry = {
    id: newRegistryId(),
    projectId: project.id,
    provider,
    name: request.name ?? known?.name ?? host,
    host,
    exchange: exchangeOf(host),
  }
  for (const slug of slugCandidates(request, known?.slug ?? slugOfHost(host))) {
    if (await anyRepositoryHas(runtime, project, slug)) continue
    const outcome = await withSealedLogin(runtime, project.id, { ...registry, login }, (sealed) => {
      const created: NewRegistry = { ...registry, slug, login: sealed }
      const maxRegistries = MAX_THIRD_PARTY_REGISTRIES
      return runtime.db.run(createRegistryCommand, { registry: created, maxRegistries, origin })
    })
    if (!outcome.ok && outcome.reason === 'slug_taken') continue
    const { seq, registry: row } = succeeded(outcome)
    const propagation = await propagate(runtime, seq)
    await refuseLateRepository(runtime, project, row, origin)
    return { ...toRegistry(runtime, project, row), notice: null, propagation }
  }
  throw slugTaken(request.slug)
}

/** Sealed for the place where it will be; again when the project's key is replaced meanwhile. */
async function withSealedLogin(
  runtime: ControlRuntime,
  projectId: string,
  registry: {
    readonly id: string
    readonly provider: Exclude<RegistryRow['provider'], 'managed'>
    readonly host: string
    readonly login: Login | null
  },
  store: (sealed: StoredLogin | null) => Promise<RegistryChange>,
): Promise<RegistryChange> {
  const { id, provider, host, login } = registry
  if (login === null) return store(null)
  const context = registrySecretContext({ id, project_id: projectId, provider, region_id: null, host })
  const { outcome } = await sealForStorage(
    runtime,
    () => runtime.vault.seal(context, login.password),
    (sealed) => store({ username: login.username, sealed }),
  )
  return outcome
}

interface Login {
  readonly username: string
  readonly password: string
}

/** Both or neither. Raises `validation_failed`. */
function readLogin({
  username,
  password,
}: {
  readonly username?: string | null | undefined
  readonly password?: string | null | undefined
}): Login | null {
  const hasUsername = username !== undefined && username !== null
  const hasPassword = password !== undefined && password !== null
  if (hasUsername && hasPassword) return { username, password }
  if (!hasUsername && !hasPassword) return null
  const missing = hasUsername ? 'password' : 'username'
  const message = `is needed too: a login is a user name with a password or token, or nothing for public images`
  throw new ApiError('validation_failed', `body.${missing}: ${message}`, {
    errors: [{ path: `body.${missing}`, message }],
  })
}

function slugCandidates(request: RegistryCreate, base: string | null): string[] {
  if (request.slug !== undefined) return [request.slug]
  if (base === null) return []
  return Array.from({ length: SLUG_ATTEMPTS }, (_, i) => (i === 0 ? base : `${base}-${i + 1}`))
}

/** Whether a repository of the project, in any region, is or begins with this component. */
async function anyRepositoryHas(
  runtime: ControlRuntime,
  project: ProjectRow,
  slug: string,
): Promise<boolean> {
  for (const { db } of runtime.regions.values()) {
    if (await anyRepositoryUnder(db.reader, project.id, slug)) return true
  }
  return false
}

/**
 * A push may have made a repository below the slug between the look and the moment when every region knew of the
 * registry. From then on none can, so a second look is final: what people have pushed wins.
 */
async function refuseLateRepository(
  runtime: ControlRuntime,
  project: ProjectRow,
  row: RegistryRow,
  origin: ChangeOrigin,
): Promise<void> {
  if (row.slug === null || !(await anyRepositoryHas(runtime, project, row.slug))) return
  const undone = await runtime.db.run(deleteRegistryCommand, { projectId: project.id, id: row.id, origin })
  if (undone.ok) await propagate(runtime, undone.seq)
  throw slugTaken(row.slug)
}

function slugTaken(slug: string | undefined): ApiError {
  const what =
    slug === undefined ? 'No slug could be made that is free; give one.' : `The slug "${slug}" is taken.`
  return new ApiError('slug_taken', `${what} Repositories or another registry of the project have it.`, {
    errors: [{ path: 'body.slug', message: slug === undefined ? 'is needed' : 'is taken' }],
  })
}

/**
 * Changes a third-party registry. A stored password belongs to its host: with another host it has to be given again,
 * or it is removed, and the answer says so. Raises `validation_failed`, `registry_not_found`, `slug_taken`.
 */
export async function updateRegistry(
  runtime: ControlRuntime,
  project: ProjectRow,
  id: string,
  request: Omit<RegistryUpdate, 'rotation'>,
  origin: ChangeOrigin,
): Promise<RegistryChanged> {
  const before = await findThirdParty(runtime, project, id)
  const host = request.host === undefined ? before.host : checkHost(runtime, before.provider, request.host)
  const changesLogin = request.username !== undefined || request.password !== undefined
  const login = changesLogin ? readLogin(request) : undefined
  const slug = request.slug === before.slug ? undefined : request.slug
  if (slug !== undefined && (await anyRepositoryHas(runtime, project, slug))) throw slugTaken(slug)
  const place = { id, provider: before.provider, host, login: login ?? null }
  const outcome = await withSealedLogin(runtime, project.id, place, (sealed) => {
    const change = {
      ...(request.name === undefined ? {} : { name: request.name }),
      ...(slug === undefined ? {} : { slug }),
      ...(host === before.host ? {} : { host, exchange: exchangeOf(host) }),
      ...(changesLogin ? { login: sealed } : {}),
    }
    const target = { projectId: project.id, id, expectedHost: before.host }
    return runtime.db.run(updateRegistryCommand, { ...target, change, origin })
  })
  const { seq, registry: row } = succeeded(outcome, slug)
  // What was taken away must be gone everywhere; what is given may arrive a moment later.
  const takesAway = host !== before.host || changesLogin || slug !== undefined
  const propagation = await (takesAway ? propagateEverywhere : propagate)(runtime, seq)
  await keepSlugOffRepositories(runtime, project, before, { slug, host: row.host, origin })
  const lostLogin = before.sealed_password !== null && row.sealed_password === null && !changesLogin
  return {
    ...toRegistry(runtime, project, row),
    notice: lostLogin
      ? `The stored password belonged to ${before.host} and was removed with it. Give the user name and password for ${row.host}, unless its images are public.`
      : null,
    propagation,
  }
}

/** As `refuseLateRepository`, for a registry that was given another slug. Raises `slug_taken`. */
async function keepSlugOffRepositories(
  runtime: ControlRuntime,
  project: ProjectRow,
  before: RegistryRow,
  now: { readonly slug: string | undefined; readonly host: string; readonly origin: ChangeOrigin },
): Promise<void> {
  const { slug, host: expectedHost, origin } = now
  if (slug === undefined || before.slug === null || !(await anyRepositoryHas(runtime, project, slug))) return
  const undone = await runtime.db.run(updateRegistryCommand, {
    projectId: project.id,
    id: before.id,
    expectedHost,
    change: { slug: before.slug },
    origin,
  })
  if (undone.ok) await propagate(runtime, undone.seq)
  throw slugTaken(slug)
}

/**
 * Disconnects a third-party registry; no region uses its login any more when this returns. While a region has not
 * confirmed that, the call can be repeated. Raises `registry_not_found`, `registry_kind`, `not_everywhere_yet`.
 */
export async function deleteRegistry(
  runtime: ControlRuntime,
  project: ProjectRow,
  id: string,
  origin: ChangeOrigin,
): Promise<RegistryDeleted> {
  if ((await loadRegistry(runtime.db.reader, project.id, id)) === null) {
    return waitForDeletion(runtime, project, id, origin.nowMs)
  }
  await findThirdParty(runtime, project, id)
  const outcome = await runtime.db.run(deleteRegistryCommand, { projectId: project.id, id, origin })
  const { seq, registry } = succeeded(outcome)
  return { id, slug: registry.slug ?? '', propagation: await propagateEverywhere(runtime, seq) }
}

/** Also when it is deleted already: whoever repeats the call wants to know that it is true everywhere. */
async function waitForDeletion(
  runtime: ControlRuntime,
  project: ProjectRow,
  id: string,
  nowMs: number,
): Promise<RegistryDeleted> {
  const since = nowMs - DELETION_REPEATED_WITHIN_MS
  const deleted = await loadDeletedRegistry(runtime.db.reader, { projectId: project.id, id, since })
  if (deleted === null) throw new ApiError('registry_not_found')
  return { id, slug: deleted.slug, propagation: await propagateEverywhere(runtime, deleted.seq) }
}

function succeeded(outcome: RegistryChange, slug?: string): Extract<RegistryChange, { ok: true }> {
  if (outcome.ok) return outcome
  switch (outcome.reason) {
    case 'project_not_found':
    case 'not_found':
      throw new ApiError(outcome.reason === 'not_found' ? 'registry_not_found' : 'project_not_found')
    case 'slug_taken':
      throw slugTaken(slug)
    case 'too_many':
      throw new ApiError('too_many_registries')
    case 'changed':
    case 'key_replaced':
      throw new ApiError('unavailable', 'The registry was changed at the same time. Try again.')
  }
}

function newRegistryId(): string {
  return Array.from({ length: ID_LENGTH }, () => ID_ALPHABET.charAt(randomInt(ID_ALPHABET.length))).join('')
}
