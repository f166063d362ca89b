import type { Kysely } from 'kysely'
import { isIssuerTrusted, listTrustRules } from '../metastore/queries/access-trust-rule.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { Lease } from './lease.ts'
import { MAX_CACHED_ISSUERS, MAX_CACHED_STABLE_IDS } from './limits.ts'
import { createRecordCache } from './record-cache.ts'
import { readTrustRule, type TrustRule } from './trust-rule.ts'

/** Trust rules of one region: from memory while the lease holds, else from the database. */
export interface TrustRuleDirectory {
  /** Rules in force for this issuer and stable id (empty: those without one), the oldest first. */
  load(issuer: string, stableId: string): Promise<readonly TrustRule[]>
  /** Whether any rule that is in force names the issuer. */
  isIssuerTrusted(issuer: string): Promise<boolean>
  /** After any change: a rule may have been about another id before, and changes are rare. */
  dropAll(): void
}

/** Reads through `reader`; starts empty. */
export function createTrustRuleDirectory(options: {
  readonly reader: Kysely<RegionSchema>
  readonly lease: Lease
  readonly monotonicMs: () => number
}): TrustRuleDirectory {
  const { reader } = options
  const rules = createRecordCache<readonly TrustRule[]>({
    ...options,
    max: MAX_CACHED_STABLE_IDS,
    async read(key) {
      const [issuer, stableId] = JSON.parse(key) as [string, string]
      const rows = await listTrustRules(reader, issuer, stableId)
      const readable = rows.flatMap((row) => readTrustRule(row) ?? [])
      return readable.length === 0 ? null : readable
    },
  })
  const issuers = createRecordCache<string>({
    ...options,
    max: MAX_CACHED_ISSUERS,
    read: async (issuer) => ((await isIssuerTrusted(reader, issuer)) ? issuer : null),
  })

  return {
    load: async (issuer, stableId) => (await rules.load(JSON.stringify([issuer, stableId]))) ?? [],
    isIssuerTrusted: async (issuer) => (await issuers.load(issuer)) !== null,
    dropAll() {
      rules.dropAll()
      issuers.dropAll()
    },
  }
}
