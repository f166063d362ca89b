import type { ApiKey, ApiKeyChanged, ApiKeyCreate, ApiKeySecret } from '@berth/api/api-keys'
import { ApiError } from '@berth/api/errors'
import type { Propagation } from '@berth/api/projects'
import { keyActionsOf, type Role } from '@berth/api/access'
import { hashSecret, keyWithSecret, mintKey } from '../../access/key.ts'
import { parseCidrs } from '../../access/cidr.ts'
import { KEY_EXPIRY_WARNING_MS } from '../../access/limits.ts'
import type { ApiKeyRow, ProjectRow } from '../../metastore/control-schema.ts'
import {
  type ApiKeyChange,
  createApiKey as createApiKeyCommand,
  endApiKeyOverlap,
  type NewApiKey,
  revokeApiKey as revokeApiKeyCommand,
  rotateApiKey as rotateApiKeyCommand,
} from '../../metastore/queries/api-key.ts'
import { loadLastUsed } from '../../metastore/queries/browse.ts'
import type { ChangeOrigin } from '../../metastore/queries/control-audit.ts'
import { checkGlobs } from '../globs.ts'
import { propagate, propagateEverywhere } from '../propagate.ts'
import type { ControlRuntime } from '../runtime.ts'
import { toTimestamp, toTimestampOrNull } from '../time.ts'
import { loginCommands } from './login-command.ts'

const DEFAULT_ACTIONS = ['pull', 'push'] as const
const WHOLE_PROJECT = ['**'] as const

/** API keys as the contract shows them, with their last use in any region. */
export async function toApiKeys(runtime: ControlRuntime, rows: readonly ApiKeyRow[]): Promise<ApiKey[]> {
  const ids = rows.map((row) => row.id)
  const nowMs = runtime.clock.nowMs()
  const uses = await Promise.all(
    [...runtime.regions.values()].map((region) => loadLastUsed(region.db.reader, ids)),
  )
  return rows.map((row) => {
    const lastUsedAt = Math.max(0, ...uses.map((ofRegion) => ofRegion.get(row.id) ?? 0))
    return toApiKey(row, lastUsedAt === 0 ? null : lastUsedAt, nowMs)
  })
}

function toApiKey(row: ApiKeyRow, lastUsedAt: number | null, nowMs: number): ApiKey {
  const overlapEndsAt = row.previous_expires_at
  return {
    id: row.id,
    name: row.name,
    state: stateOf(row, nowMs),
    actions: JSON.parse(row.actions) as ApiKey['actions'],
    repositories: JSON.parse(row.repositories) as string[],
    regions: JSON.parse(row.regions) as string[],
    cidrs: JSON.parse(row.cidrs) as string[],
    createdAt: toTimestamp(row.created_at),
    createdBy: row.created_by,
    userId: row.user_id,
    registry: row.registry_id,
    expiresAt: toTimestampOrNull(row.expires_at),
    expiresSoon: stateOf(row, nowMs) === 'active' && expiresSoon(row, nowMs),
    revokedAt: toTimestampOrNull(row.revoked_at),
    lastUsedAt: toTimestampOrNull(lastUsedAt),
    version: row.secret_version,
    overlapEndsAt: toTimestampOrNull(overlapEndsAt !== null && overlapEndsAt > nowMs ? overlapEndsAt : null),
  }
}

function expiresSoon({ expires_at: expiresAt }: ApiKeyRow, nowMs: number): boolean {
  return expiresAt !== null && expiresAt - KEY_EXPIRY_WARNING_MS <= nowMs
}

function stateOf(row: ApiKeyRow, nowMs: number): ApiKey['state'] {
  if (row.revoked_at !== null) return 'revoked'
  return row.expires_at !== null && row.expires_at <= nowMs ? 'expired' : 'active'
}

async function toOneApiKey(runtime: ControlRuntime, row: ApiKeyRow): Promise<ApiKey> {
  const [key] = await toApiKeys(runtime, [row])
  if (key === undefined) throw new Error('one row makes one key')
  return key
}

/** The member whose own key it is. */
export interface KeyOwner {
  readonly userId: string
  readonly role: Role
}

/**
 * Creates an API key that works everywhere when this returns. The answer alone holds the secret.
 * Raises `validation_failed`, `region_not_found`, `project_not_found`, and `forbidden` when the owner of an own key may
 * not have it.
 */
export async function createApiKey(
  runtime: ControlRuntime,
  project: ProjectRow,
  request: ApiKeyCreate,
  owner: KeyOwner | null,
  origin: ChangeOrigin,
): Promise<ApiKeySecret> {
  const minted = mintKey('k')
  const key: NewApiKey = {
    ...checkScope(runtime, request, origin.nowMs),
    actions: checkActions(request, owner),
    id: minted.id,
    projectId: project.id,
    userId: owner?.userId ?? null,
    name: request.name,
    pepperVersion: runtime.pepper.version,
    secretHmac: hashSecret(runtime.pepper.key, minted.secret),
  }
  const outcome = await runtime.db.run(createApiKeyCommand, { key, origin })
  if (!outcome.ok) {
    throw new ApiError(outcome.reason === 'not_allowed' ? 'forbidden' : 'project_not_found')
  }
  const propagation = await propagate(runtime, outcome.seq)
  return withSecret(runtime, toApiKey(outcome.key, null, origin.nowMs), minted.text, propagation)
}

function withSecret(
  runtime: ControlRuntime,
  key: ApiKey,
  text: string,
  propagation: Propagation,
): ApiKeySecret {
  const regions = [...runtime.regions.values()]
    .map(({ region }) => region)
    .filter(({ id }) => key.regions.length === 0 || key.regions.includes(id))
  // A key of some regions alone would sign in there and then fail for projects that are at home elsewhere.
  const shared =
    runtime.sharedHost === null || key.regions.length > 0 ? [] : [{ id: null, host: runtime.sharedHost.host }]
  return { ...key, key: text, login: loginCommands([...regions, ...shared]), propagation }
}

/** What a key may do: what was asked for; for a member's own key no more than the role allows. */
function checkActions({ actions }: ApiKeyCreate, owner: KeyOwner | null): string[] {
  if (owner === null) return [...new Set(actions ?? DEFAULT_ACTIONS)]
  const allowed = keyActionsOf(owner.role)
  if (actions === undefined) return DEFAULT_ACTIONS.filter((action) => allowed.includes(action))
  const beyond = actions.find((action) => !allowed.includes(action))
  if (beyond === undefined) return [...new Set(actions)]
  throw new ApiError(
    'forbidden',
    `As ${owner.role} you can have keys that ${allowed.join(' and ')}, not one that may ${beyond}.`,
  )
}

type Scope = Pick<NewApiKey, 'repositories' | 'regions' | 'cidrs' | 'expiresAt'>

function checkScope(runtime: ControlRuntime, request: ApiKeyCreate, nowMs: number): Scope {
  const repositories = request.repositories ?? [...WHOLE_PROJECT]
  checkGlobs(repositories, 'body.repositories')
  const regions = [...new Set(request.regions ?? [])]
  const unknown = regions.find((id) => !runtime.regions.has(id))
  if (unknown !== undefined) {
    throw new ApiError('region_not_found', `There is no region "${unknown}".`, {
      errors: [
        { path: `body.regions.${(request.regions ?? []).indexOf(unknown)}`, message: 'does not exist' },
      ],
    })
  }
  const cidrs = request.cidrs ?? []
  if (parseCidrs(cidrs) === null) {
    const errors = [{ path: 'body.cidrs', message: 'must be addresses or CIDRs' }]
    throw new ApiError('validation_failed', undefined, { errors })
  }
  const expiresAt = typeof request.expiresAt === 'string' ? Date.parse(request.expiresAt) : null
  if (expiresAt !== null && expiresAt <= nowMs) {
    const errors = [{ path: 'body.expiresAt', message: 'must be in the future' }]
    throw new ApiError('validation_failed', undefined, { errors })
  }
  return {
    repositories,
    regions,
    cidrs,
    expiresAt,
  }
}

interface KeyTarget {
  readonly projectId: string
  readonly id: string
}

/** Revokes a key. True on every replica of every region when it returns. Raises `api_key_not_found`, `not_everywhere_yet`. */
export async function revokeApiKey(
  runtime: ControlRuntime,
  target: KeyTarget,
  origin: ChangeOrigin,
): Promise<ApiKeyChanged> {
  const changed = succeeded(await runtime.db.run(revokeApiKeyCommand, { ...target, origin }))
  const propagation = await propagateEverywhere(runtime, changed.seq)
  return { ...(await toOneApiKey(runtime, changed.key)), propagation }
}

/** Gives a key a new secret, which works everywhere when it returns. Raises `api_key_not_found`, `api_key_inactive`. */
export async function rotateApiKey(
  runtime: ControlRuntime,
  target: KeyTarget,
  overlapSeconds: number,
  origin: ChangeOrigin,
): Promise<ApiKeySecret> {
  const minted = keyWithSecret('k', target.id)
  const changed = succeeded(
    await runtime.db.run(rotateApiKeyCommand, {
      ...target,
      origin,
      secretHmac: hashSecret(runtime.pepper.key, minted.secret),
      pepperVersion: runtime.pepper.version,
      overlapUntil: overlapSeconds === 0 ? null : origin.nowMs + overlapSeconds * 1000,
    }),
  )
  const propagation = await propagate(runtime, changed.seq)
  return withSecret(runtime, await toOneApiKey(runtime, changed.key), minted.text, propagation)
}

/** Ends the overlap of a rotation everywhere. Raises `api_key_not_found`, `not_everywhere_yet`. */
export async function endOverlap(
  runtime: ControlRuntime,
  target: KeyTarget,
  origin: ChangeOrigin,
): Promise<ApiKeyChanged> {
  const changed = succeeded(await runtime.db.run(endApiKeyOverlap, { ...target, origin }))
  const propagation = await propagateEverywhere(runtime, changed.seq)
  return { ...(await toOneApiKey(runtime, changed.key)), propagation }
}

function succeeded(outcome: ApiKeyChange): Extract<ApiKeyChange, { ok: true }> {
  if (outcome.ok) return outcome
  switch (outcome.reason) {
    case 'not_found':
      throw new ApiError('api_key_not_found')
    case 'inactive':
      throw new ApiError('api_key_inactive')
    case 'belongs_to_registry':
      throw new ApiError('api_key_of_registry')
  }
}
