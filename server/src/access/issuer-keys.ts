import { createLocalJWKSet, type JWK } from 'jose'
import { LRUCache } from 'lru-cache'
import {
  ISSUER_KEYS_FRESH_MS,
  ISSUER_KEYS_STALE_MS,
  ISSUER_REFRESH_PAUSE_MS,
  ISSUER_RETRY_PAUSE_MS,
  MAX_ISSUER_KEYS,
  MAX_ISSUERS,
} from './limits.ts'

/** Fetches a JSON document; rejects when that fails in any way. */
export type FetchDocument = (url: string) => Promise<unknown>

/** What an issuer signs with, as of one fetch. */
export interface IssuerKeySet {
  readonly getKey: ReturnType<typeof createLocalJWKSet>
  readonly fetchedAtMs: number
}

/** The public keys of the issuers that rules name. Nothing is fetched for any other issuer: callers see to that. */
export interface IssuerKeys {
  /** From memory when fetched lately. Throws `IssuerUnavailableError`. */
  load(issuer: string): Promise<IssuerKeySet>
  /**
   * For a token whose key is not in `known`: fetches again, unless that was done a short while ago, whoever asked. The
   * same set again means that there is no newer one. Throws `IssuerUnavailableError`.
   */
  refresh(issuer: string, known: IssuerKeySet): Promise<IssuerKeySet>
}

/** An issuer's keys cannot be had now. */
export class IssuerUnavailableError extends Error {
  override readonly name = 'IssuerUnavailableError'
  readonly issuer: string

  constructor(issuer: string, cause: unknown) {
    super(`the keys of ${issuer} cannot be fetched`, { cause })
    this.issuer = issuer
  }
}

interface Entry {
  keySet: IssuerKeySet | null
  triedAtMs: number
  failure: unknown
  running: Promise<IssuerKeySet> | null
}

/**
 * Keeps the keys of issuers in memory. Found by OpenID Connect discovery; the document must name the very issuer that
 * was asked for. An issuer that cannot be reached is not asked again for a moment, and its last keys are used for a
 * while longer.
 */
export function createIssuerKeys(options: {
  readonly fetchDocument: FetchDocument
  readonly monotonicMs: () => number
}): IssuerKeys {
  const { fetchDocument, monotonicMs } = options
  const entries = new LRUCache<string, Entry>({ max: MAX_ISSUERS })

  async function fetchNow(issuer: string, entry: Entry): Promise<IssuerKeySet> {
    const startedAtMs = monotonicMs()
    entry.triedAtMs = startedAtMs
    try {
      const keys = await fetchKeys(fetchDocument, issuer)
      entry.keySet = { getKey: createLocalJWKSet({ keys }), fetchedAtMs: startedAtMs }
      entry.failure = null
      return entry.keySet
    } catch (error) {
      entry.failure = error
      return lastKnown(issuer, entry)
    } finally {
      entry.running = null
    }
  }

  function lastKnown(issuer: string, { keySet, failure }: Entry): IssuerKeySet {
    if (keySet !== null && monotonicMs() - keySet.fetchedAtMs < ISSUER_KEYS_STALE_MS) return keySet
    throw new IssuerUnavailableError(issuer, failure)
  }

  function fetchOnce(issuer: string, entry: Entry): Promise<IssuerKeySet> {
    entry.running ??= fetchNow(issuer, entry)
    return entry.running
  }

  function entryOf(issuer: string): Entry {
    const known = entries.get(issuer)
    if (known !== undefined) return known
    const entry: Entry = { keySet: null, triedAtMs: Number.NEGATIVE_INFINITY, failure: null, running: null }
    entries.set(issuer, entry)
    return entry
  }

  return {
    async load(issuer) {
      const entry = entryOf(issuer)
      const nowMs = monotonicMs()
      const { keySet } = entry
      if (keySet !== null && nowMs - keySet.fetchedAtMs < ISSUER_KEYS_FRESH_MS) return keySet
      if (entry.running === null && nowMs - entry.triedAtMs < ISSUER_RETRY_PAUSE_MS) {
        return lastKnown(issuer, entry)
      }
      return fetchOnce(issuer, entry)
    },
    async refresh(issuer, known) {
      const entry = entryOf(issuer)
      if (entry.keySet !== null && entry.keySet !== known) return entry.keySet
      if (entry.running === null && monotonicMs() - entry.triedAtMs < ISSUER_REFRESH_PAUSE_MS) {
        return entry.keySet ?? known
      }
      return fetchOnce(issuer, entry)
    },
  }
}

// Verifying with larger RSA keys takes long, and anybody may show a token.
const MAX_MODULUS_LENGTH = Math.ceil(8192 / 6)
const MAX_EXPONENT_LENGTH = 8
const KEY_TYPES: readonly unknown[] = ['RSA', 'EC', 'OKP']

async function fetchKeys(fetchDocument: FetchDocument, issuer: string): Promise<JWK[]> {
  const discovery = await fetchDocument(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
  if (!isObject(discovery) || discovery['issuer'] !== issuer) {
    throw new Error(`the discovery document of ${issuer} is about another issuer`)
  }
  const jwksUri = discovery['jwks_uri']
  if (typeof jwksUri !== 'string' || !jwksUri.startsWith('https://')) {
    throw new Error(`the discovery document of ${issuer} names no https address for its keys`)
  }
  const document = await fetchDocument(jwksUri)
  const listed = isObject(document) && Array.isArray(document['keys']) ? (document['keys'] as unknown[]) : []
  // Symmetric keys have no place in a public document, and are never used; nor are keys for encryption.
  const keys = listed
    .slice(0, MAX_ISSUER_KEYS)
    .filter(isObject)
    .filter((key) => KEY_TYPES.includes(key['kty']) && (key['use'] === undefined || key['use'] === 'sig'))
    .filter((key) => lengthOf(key['n']) <= MAX_MODULUS_LENGTH && lengthOf(key['e']) <= MAX_EXPONENT_LENGTH)
  // No keys at all is no answer: keeping it would refuse every token until the next fetch.
  if (keys.length === 0) throw new Error(`${issuer} shows no key to verify signatures with`)
  return keys as JWK[]
}

function lengthOf(value: unknown): number {
  return typeof value === 'string' ? value.length : 0
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
