import { createSecretKey, type KeyObject, randomBytes, randomUUID } from 'node:crypto'
import type { ControlSchema } from '../../metastore/control-schema.ts'
import type { Database } from '../../metastore/database.ts'
import {
  initializeInstallation,
  type InstallationFact,
  loadInstallation,
  setInstallationFact,
} from '../../metastore/queries/installation.ts'
import { checkCanary, deriveKey, loadRootKey, type RootKey, sealCanary } from '../../vault/root-key.ts'
import { createOperatorAuth, hashToken, type OperatorAuth } from '../operator-auth.ts'

/** What a process knows about the installation it belongs to. */
export interface Installation {
  readonly id: string
  readonly rootKey: RootKey
  readonly operatorAuth: OperatorAuth
  readonly setupTokenHmac: Uint8Array | null
  /** Secrets made just now, to be printed once; null on every later start. */
  readonly firstStart: { readonly operatorToken: string | null; readonly setupToken: string } | null
}

export interface InstallationOptions {
  readonly db: Database<ControlSchema>
  readonly rootKey: { readonly text: string | null; readonly file: string }
  /** From the configuration; null: one is made at the first start. */
  readonly operatorToken: string | null
}

/**
 * Opens the installation, or founds it when the database is new: root key, operator token, setup token. Of several
 * processes that start on an empty database at once one founds it, and the others join it.
 * Throws `RootKeyError` when the root key is missing or another one.
 */
export async function openInstallation(options: InstallationOptions): Promise<Installation> {
  const { db } = options
  const known = await loadInstallation(db.reader)
  const canary = known.get('root_key_canary')
  const rootKey = await loadRootKey({ ...options.rootKey, createIfMissing: canary === undefined })
  if (canary !== undefined) checkCanary(rootKey, canary)
  const tokenKey = createSecretKey(deriveKey(rootKey, 'operator-token/v1'))
  const facts =
    canary === undefined ? await found(options, rootKey, tokenKey) : { stored: known, firstStart: null }
  checkCanary(rootKey, facts.stored.get('root_key_canary') ?? '')
  const operatorHmac = await adoptConfiguredToken(options, tokenKey, facts.stored)
  const setup = facts.stored.get('setup_token_hmac')
  return {
    id: facts.stored.get('id') ?? '',
    rootKey,
    operatorAuth: createOperatorAuth(tokenKey, operatorHmac),
    setupTokenHmac: setup === undefined ? null : Buffer.from(setup, 'base64'),
    firstStart: facts.firstStart,
  }
}

type Facts = ReadonlyMap<InstallationFact, string>

async function found(
  { db, operatorToken }: InstallationOptions,
  rootKey: RootKey,
  tokenKey: KeyObject,
): Promise<{ stored: Facts; firstStart: Installation['firstStart'] }> {
  const token = operatorToken ?? newToken('operator')
  const setupToken = newToken('setup')
  const id = randomUUID()
  const stored = await db.run(initializeInstallation, {
    facts: {
      id,
      created_at: String(await db.nowMs()),
      root_key_canary: sealCanary(rootKey),
      operator_token_hmac: toText(hashToken(tokenKey, token)),
      setup_token_hmac: toText(hashToken(tokenKey, setupToken)),
    },
  })
  const mine = stored['id'] === id
  return {
    stored: new Map(Object.entries(stored) as [InstallationFact, string][]),
    firstStart: mine ? { operatorToken: operatorToken === null ? token : null, setupToken } : null,
  }
}

/** A token in the configuration replaces the stored one, so that an operator who lost it can set a new one. */
async function adoptConfiguredToken(
  { db, operatorToken }: InstallationOptions,
  tokenKey: KeyObject,
  stored: Facts,
): Promise<Uint8Array> {
  const known = stored.get('operator_token_hmac') ?? ''
  if (operatorToken === null) return Buffer.from(known, 'base64')
  const hmac = hashToken(tokenKey, operatorToken)
  const origin = { nowMs: await db.nowMs(), actor: 'configuration', requestId: 'start' }
  await db.run(setInstallationFact, { name: 'operator_token_hmac', value: toText(hmac), origin })
  return hmac
}

function newToken(purpose: 'operator' | 'setup'): string {
  return `berth-${purpose}-${randomBytes(32).toString('base64url')}`
}

function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
