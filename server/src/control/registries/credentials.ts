import { ApiError } from '@berth/api/errors'
import type { Propagation } from '@berth/api/projects'
import type { RegistryCredentials, RegistryCredentialsRevoked } from '@berth/api/registries'
import { mintKeyId } from '../../access/key.ts'
import { mintRegistrySecret, type RegistrySecret } from '../../access/mint-registry-secret.ts'
import type { ApiKeyRow, ProjectRow, RegistryRow } from '../../metastore/control-schema.ts'
import { revokeApiKey } from '../../metastore/queries/api-key.ts'
import type { ChangeOrigin } from '../../metastore/queries/control-audit.ts'
import { registrySecretContext } from '../../metastore/queries/registry.ts'
import {
  type CredentialChange,
  generateCredential,
  rotateCredential,
  type RotationSchedule,
  scheduleRotation as scheduleRotationCommand,
  showCredential,
} from '../../metastore/queries/registry-credential.ts'
import { API_KEY_USERNAME, loginCommands } from '../api-keys/login-command.ts'
import { propagate, propagateEverywhere } from '../propagate.ts'
import type { ControlRuntime } from '../runtime.ts'
import { toTimestampOrNull } from '../time.ts'
import { openStored } from './open-stored.ts'
import { sealForStorage } from './seal-for-storage.ts'
import { findRegistry } from './service.ts'

const DAY_SECONDS = 86_400

/** A managed registry and who asks about it. */
interface Request {
  readonly project: ProjectRow
  readonly id: string
  readonly origin: ChangeOrigin
}

type Managed = RegistryRow & { readonly region_id: string }

async function findManaged(runtime: ControlRuntime, { project, id }: Request): Promise<Managed> {
  const row = await findRegistry(runtime, project, id)
  const { region_id: regionId } = row
  if (row.provider === 'managed' && regionId !== null) return { ...row, region_id: regionId }
  throw new ApiError('registry_kind', `"${row.name}" is a third-party registry: its login is yours.`)
}

/**
 * Makes the credentials of a managed registry: an API key of the project that pulls and pushes in its region.
 * Raises `registry_not_found`, `registry_kind`, `credentials_exist`.
 */
export async function generateCredentials(
  runtime: ControlRuntime,
  request: Request,
): Promise<RegistryCredentials> {
  const { project, id, origin } = request
  const registry = await findManaged(runtime, request)
  const keyId = mintKeyId()
  const { outcome, secret } = await withSecret(runtime, registry, keyId, (minted) =>
    runtime.db.run(generateCredential, {
      projectId: project.id,
      registryId: id,
      username: API_KEY_USERNAME,
      sealed: minted.sealed,
      key: {
        id: keyId,
        projectId: project.id,
        userId: null,
        name: registry.name,
        pepperVersion: minted.pepperVersion,
        secretHmac: minted.secretHmac,
        actions: ['pull', 'push'],
        repositories: ['**'],
        regions: [registry.region_id],
        cidrs: [],
        expiresAt: null,
      },
      origin,
    }),
  )
  const { seq, key } = succeeded(outcome)
  return toCredentials(runtime, registry, key, secret.text, await propagate(runtime, seq))
}

/** Mints and seals a secret and stores it; again when the project's key is replaced meanwhile. */
async function withSecret(
  runtime: ControlRuntime,
  registry: RegistryRow,
  keyId: string,
  store: (secret: RegistrySecret) => Promise<CredentialChange>,
): Promise<{ outcome: CredentialChange; secret: RegistrySecret }> {
  const { vault, pepper } = runtime
  const context = registrySecretContext(registry)
  const mint = () => mintRegistrySecret({ vault, pepper, context, keyId })
  const { outcome, sealed } = await sealForStorage(runtime, mint, store)
  return { outcome, secret: sealed }
}

/**
 * Gives the credentials a new password. Raises `registry_not_found`, `registry_kind`, `credentials_not_found`.
 */
export async function rotateCredentials(
  runtime: ControlRuntime,
  request: Request,
  overlapSeconds: number,
): Promise<RegistryCredentials> {
  const { project, id, origin } = request
  const registry = await findManaged(runtime, request)
  const keyId = registry.api_key_id
  if (keyId === null) throw new ApiError('credentials_not_found')
  const { outcome, secret } = await withSecret(runtime, registry, keyId, (minted) =>
    runtime.db.run(rotateCredential, {
      projectId: project.id,
      registryId: id,
      keyId,
      secretHmac: minted.secretHmac,
      pepperVersion: minted.pepperVersion,
      sealed: minted.sealed,
      overlapSeconds,
      dueAt: null,
      origin,
    }),
  )
  const { seq, key } = succeeded(outcome)
  // Without an overlap the one before is taken away, and that must be true when this returns.
  const settle = overlapSeconds === 0 ? propagateEverywhere : propagate
  return toCredentials(runtime, registry, key, secret.text, await settle(runtime, seq))
}

/**
 * Shows the credentials again. That is written down before.
 * Raises `registry_not_found`, `registry_kind`, `credentials_not_found`, `secret_unreadable`.
 */
export async function showCredentials(
  runtime: ControlRuntime,
  request: Request,
): Promise<RegistryCredentials> {
  const { project, id, origin } = request
  const registry = await findManaged(runtime, request)
  const shown = await runtime.db.run(showCredential, { projectId: project.id, registryId: id, origin })
  if (shown === null) throw new ApiError('credentials_not_found')
  const password = await openStored(runtime, shown.registry)
  return toCredentials(runtime, registry, shown.key, password, null)
}

/**
 * Revokes the credentials; true on every replica when it returns.
 * Raises `registry_not_found`, `registry_kind`, `credentials_not_found`, `not_everywhere_yet`.
 */
export async function revokeCredentials(
  runtime: ControlRuntime,
  request: Request,
): Promise<RegistryCredentialsRevoked> {
  const { project, id, origin } = request
  const registry = await findManaged(runtime, request)
  const keyId = registry.api_key_id
  if (keyId === null) throw new ApiError('credentials_not_found')
  // Also when they are revoked already: whoever repeats the call wants to know that it is true everywhere.
  const outcome = await runtime.db.run(revokeApiKey, { projectId: project.id, id: keyId, origin })
  if (!outcome.ok) throw new ApiError('credentials_not_found')
  return { registry: id, keyId, propagation: await propagateEverywhere(runtime, outcome.seq) }
}

/** Sets or ends the schedule of rotations. Raises `registry_not_found`, `registry_kind`, `validation_failed`. */
export async function scheduleRotation(
  runtime: ControlRuntime,
  request: Request,
  rotation: RotationSchedule | null,
): Promise<RegistryRow> {
  const { project, id, origin } = request
  await findManaged(runtime, request)
  if (rotation !== null && rotation.overlapSeconds > rotation.everyDays * DAY_SECONDS) {
    const message = 'must not be longer than the time between two rotations: only one password before works'
    throw new ApiError('validation_failed', `body.rotation.overlapSeconds: ${message}`, {
      errors: [{ path: 'body.rotation.overlapSeconds', message }],
    })
  }
  const target = { projectId: project.id, registryId: id, rotation, origin }
  const row = await runtime.db.run(scheduleRotationCommand, target)
  if (row === null) throw new ApiError('registry_not_found')
  return row
}

function succeeded(outcome: CredentialChange): Extract<CredentialChange, { ok: true }> {
  if (outcome.ok) return outcome
  switch (outcome.reason) {
    case 'not_found':
      throw new ApiError('registry_not_found')
    case 'exists':
      throw new ApiError('credentials_exist')
    case 'no_credential':
      throw new ApiError('credentials_not_found')
    case 'not_due':
    case 'key_replaced':
      throw new ApiError('unavailable', 'The credentials were changed at the same time. Try again.')
  }
}

function toCredentials(
  runtime: ControlRuntime,
  registry: Managed,
  key: ApiKeyRow,
  password: string,
  propagation: Propagation | null,
): RegistryCredentials {
  const endsAt = key.previous_expires_at
  const { id, region_id: regionId, host } = registry
  return {
    registry: id,
    host,
    username: API_KEY_USERNAME,
    password,
    keyId: key.id,
    version: key.secret_version,
    overlapEndsAt: toTimestampOrNull(endsAt !== null && endsAt > runtime.clock.nowMs() ? endsAt : null),
    login: loginCommands([{ id: regionId, host }]),
    propagation,
  }
}
