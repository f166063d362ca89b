import { createSecretKey, type KeyObject, randomBytes, randomUUID } from 'node:crypto'
import type { ControlSchema } from '../../metastore/control-schema.ts'
import type { Database } from '../../metastore/database.ts'
import {
  initializeInstallation,
  type InstallationFact,
  loadInstallation,
  setInstallationFact,
} from '../../metastore/queries/installation.ts'
import {
  checkCanary,
  deriveKey,
  type InstallationKey,
  loadRootKey,
  parseRootKey,
} from '../../vault/root-key.ts'
import {
  activeRootKey,
  nameRootKey,
  newInstallationKey,
  openInstallationKey,
  rootKeyFacts,
  type RootKeys,
} from '../../vault/root-keys.ts'
import { createOperatorAuth, hashToken, type OperatorAuth } from '../operator-auth.ts'

/** What a process knows about the installation it belongs to. */
export interface Installation {
  readonly id: string
  /** What keys for one purpose are derived from; the same after a change of root keys. */
  readonly installationKey: InstallationKey
  /** For the vault alone. */
  readonly rootKeys: RootKeys
  readonly operatorAuth: OperatorAuth
  readonly setupTokenHmac: Uint8Array | null
  /** Secrets made just now, to be printed once; null on every later start. */
  readonly firstStart: { readonly operatorToken: string | null; readonly setupToken: string } | null
}

export interface InstallationOptions {
  readonly db: Database<ControlSchema>
  readonly rootKey: {
    readonly text: string | null
    readonly file: string
    /** The root key before, while it is changed; null: none. */
    readonly previousText: string | null
  }
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
  const isNew = known.get('root_key_canary') === undefined
  const rootKeys = await loadRootKeys(options.rootKey, isNew)
  const facts = isNew ? await found(options, rootKeys) : { stored: known, firstStart: null }
  const canary = facts.stored.get('root_key_canary') ?? ''
  const root = activeRootKey(rootKeys, canary)
  checkCanary(root.key, canary)
  // An older installation does not know the id of its root key, and its keys are derived from the root key itself.
  await db.run(initializeInstallation, { facts: { root_key_id: root.id } })
  const installationKey = openInstallationKey(root, facts.stored.get('installation_key') ?? null)
  const tokenKey = operatorTokenKey(installationKey)
  const operatorHmac = await adoptConfiguredToken(options, tokenKey, facts.stored)
  const setup = facts.stored.get('setup_token_hmac')
  return {
    id: facts.stored.get('id') ?? '',
    installationKey,
    rootKeys,
    operatorAuth: createOperatorAuth(tokenKey, operatorHmac),
    setupTokenHmac: setup === undefined ? null : Buffer.from(setup, 'base64'),
    firstStart: facts.firstStart,
  }
}

async function loadRootKeys(source: InstallationOptions['rootKey'], isNew: boolean): Promise<RootKeys> {
  const current = nameRootKey(await loadRootKey({ ...source, createIfMissing: isNew }))
  if (source.previousText === null) return { current, previous: null }
  const previous = nameRootKey(parseRootKey(source.previousText, 'BERTH_ROOT_KEY_PREVIOUS'))
  return { current, previous: previous.id === current.id ? null : previous }
}

function operatorTokenKey(installationKey: InstallationKey): KeyObject {
  return createSecretKey(deriveKey(installationKey, 'operator-token/v1'))
}

type Facts = ReadonlyMap<InstallationFact, string>

async function found(
  { db, operatorToken }: InstallationOptions,
  rootKeys: RootKeys,
): Promise<{ stored: Facts; firstStart: Installation['firstStart'] }> {
  const token = operatorToken ?? newToken('operator')
  const setupToken = newToken('setup')
  const id = randomUUID()
  const installationKey = newInstallationKey()
  const tokenKey = operatorTokenKey(installationKey)
  const stored = await db.run(initializeInstallation, {
    facts: {
      id,
      created_at: String(await db.nowMs()),
      ...rootKeyFacts(rootKeys.current, installationKey),
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
