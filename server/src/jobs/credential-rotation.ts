import type { KeyObject } from 'node:crypto'
import { mintRegistrySecret } from '../access/mint-registry-secret.ts'
import type { ControlSchema, RegistryRow } from '../metastore/control-schema.ts'
import type { Database } from '../metastore/database.ts'
import { ACCESS_FEED_CHANNEL } from '../metastore/queries/access-feed.ts'
import { registrySecretContext } from '../metastore/queries/registry.ts'
import { listDueRotations, rotateCredential } from '../metastore/queries/registry-credential.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Vault } from '../vault/vault.ts'

export interface CredentialRotationOptions {
  readonly db: Database<ControlSchema>
  readonly vault: Vault
  /** What new keys are hashed with. */
  readonly pepper: { readonly version: number; readonly key: KeyObject }
  readonly log: Logger
}

/** How often it is looked for rotations that are due. */
export const ROTATION_INTERVAL_MS = 60_000

/** Registries that are read at once. */
const BATCH = 100

/** Who rotates, in audit events. */
const ACTOR = 'rotation schedule'

/**
 * Rotates the credentials of managed registries whose schedule says so. Any number of replicas may do so at once:
 * a rotation is committed only while its time is still the one that was read, so each is done once. One that fails is
 * logged and tried again by the next run. Answers how many this run rotated.
 */
export async function rotateDueCredentials(
  options: CredentialRotationOptions,
  signal: AbortSignal,
): Promise<number> {
  const { db, log } = options
  let rotated = 0
  const failed = new Set<string>()
  while (!signal.aborted) {
    // What was done is not due any more; what failed comes first again, so the page grows by it.
    const rows = await listDueRotations(db.reader, await db.nowMs(), BATCH + failed.size)
    const waiting = rows.filter(({ id }) => !failed.has(id))
    if (waiting.length === 0) break
    for (const row of waiting) {
      if (signal.aborted) break
      try {
        if ((await rotate(options, row)) === 'rotated') rotated += 1
        else failed.add(row.id)
      } catch (error) {
        failed.add(row.id)
        log.error({ err: error, registry: row.id, project: row.project_id }, 'a credential was not rotated')
      }
    }
  }
  if (rotated > 0) await db.notify(ACCESS_FEED_CHANNEL)
  return rotated
}

async function rotate(
  { db, vault, pepper, log }: CredentialRotationOptions,
  row: RegistryRow,
): Promise<'rotated' | 'skipped'> {
  const { api_key_id: keyId, rotation_due_at: dueAt } = row
  if (keyId === null || dueAt === null) return 'skipped'
  const context = registrySecretContext(row)
  const { secretHmac, pepperVersion, sealed } = await mintRegistrySecret({ vault, pepper, context, keyId })
  const outcome = await db.run(rotateCredential, {
    projectId: row.project_id,
    registryId: row.id,
    keyId,
    secretHmac,
    pepperVersion,
    sealed,
    overlapSeconds: row.rotation_overlap_seconds ?? 0,
    dueAt,
    origin: { actor: ACTOR, requestId: 'rotation', nowMs: await db.nowMs() },
  })
  if (outcome.ok) {
    log.info(
      { registry: row.id, project: row.project_id, key: keyId },
      'a credential was rotated by its schedule',
    )
    return 'rotated'
  }
  // Another replica was faster, or it was revoked meanwhile.
  log.debug({ registry: row.id, reason: outcome.reason }, 'a rotation was not needed any more')
  return 'skipped'
}
