import type { KeyObject } from 'node:crypto'
import { formatScope, type Scope } from '@berth/oci/scope'
import type { Logger } from 'pino'
import type { Database } from '../metastore/database.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import { type AccessDirectory, createAccessDirectory } from './access-directory.ts'
import type { AccessProject } from './access-project.ts'
import type { AccessSource } from './access-source.ts'
import { createAuthenticator } from './authenticate.ts'
import type { Authentication } from './authentication.ts'
import {
  catalogWithinRegion,
  decide,
  decideCatalog,
  narrowScope,
  scopeRepository,
  withinRegion,
} from './authorize.ts'
import type { CatalogDecision, Decision, Need } from './decision.ts'
import { type CiSignIn, createCiSignIn } from './ci-sign-in.ts'
import { createFailureLimit, type FailureLimit, type FailureLimits } from './failure-limit.ts'
import { startRegionFollower } from './follower.ts'
import { createIssuerKeys, type FetchDocument } from './issuer-keys.ts'
import { createLastUsed, type LastUsed } from './last-used.ts'
import { createLease } from './lease.ts'
import { MAX_ACCESS_CLAIM_BYTES } from './limits.ts'
import type { KeyPrincipal, Principal, TokenAccess } from './principal.ts'
import type { ProjectId } from './project-id.ts'
import type { KeyRecord, ProjectRecord } from './records.ts'
import { createReplica } from './replica.ts'
import { createTokenAuthority, type TokenAuthority, type TokenSubject } from './token.ts'
import { type WriteGuard, writeGuardOf } from './write-guard.ts'

/** What the token endpoint answers. */
export interface IssuedToken {
  readonly token: string
  readonly expiresInSeconds: number
  /** What was granted, in the grammar of the `scope` parameter; empty when nothing was. */
  readonly scope: string
  /** Only for `offline`, and only for a key. */
  readonly refreshToken: string | null
}

/**
 * Access to one region: who is asking, and may they. Everything that needs a database may raise
 * `DatabaseUnavailableError`, except authentication, which answers `unavailable`.
 */
export interface RegionAccess extends AccessUnderHost {
  /** The same under a host that all regions share. Tokens of such a host are good in every region, under that host. */
  underHost(host: string): AccessUnderHost

  /** Resolves when the feed was read once more from now on, or could not be. */
  refresh(): Promise<void>

  /** Ends the follower, writes last-used times, releases everything. */
  close(): Promise<void>
}

/** Access as the requests to one host see it. */
export interface AccessUnderHost {
  /** From the `Authorization` header; undefined is the anonymous principal. Takes Basic with a key, and Bearer. */
  authenticate(input: {
    readonly authorization: string | undefined
    /** From `clientAddress()`, which knows the trusted proxies. */
    readonly clientAddress: string
    /** Texts of the scopes that the request is about: they choose between rules that fit a CI token. */
    readonly wanted?: readonly string[]
    readonly requestId?: string
  }): Promise<Authentication>

  /** `grant_type=password` of the token endpoint. */
  authenticatePassword(input: {
    readonly username: string
    readonly password: string
    readonly clientAddress: string
    readonly wanted?: readonly string[]
    readonly requestId?: string
  }): Promise<Authentication>

  /** Token exchange (RFC 8693): a CI token, which is taken once. `namespace` names the project that is meant. */
  exchangeCiToken(input: {
    readonly token: string
    readonly namespace: string | null
    readonly clientAddress: string
    readonly wanted: readonly string[]
    readonly requestId: string
  }): Promise<Authentication>

  /** `grant_type=refresh_token` of the token endpoint. */
  authenticateRefreshToken(input: {
    readonly refreshToken: string
    readonly clientAddress: string
  }): Promise<Authentication>

  authorize(principal: Principal, need: Need): Promise<Decision>
  authorizeCatalog(principal: Principal): CatalogDecision

  /** What of the requested scopes the principal may have: never refuses, only leaves out. `*` becomes what is allowed. */
  narrow(principal: Principal, requested: readonly Scope[]): Promise<readonly TokenAccess[]>

  /**
   * A token for what `narrow` leaves of the requested scopes. `isSession`: for a CI job whose token was exchanged, one
   * that allows all that its rule allows.
   */
  issueToken(
    principal: Principal,
    requested: readonly Scope[],
    options: { readonly offline: boolean; readonly isSession?: boolean },
  ): Promise<IssuedToken>

  /** Null for a deleted project as for one that never was. */
  projectByNamespace(namespace: string): Promise<AccessProject | null>
  project(id: ProjectId): Promise<AccessProject | null>

  /** Where the host without a region leads: a project's home, or a region that the key is for. Null: to the first. */
  homeOf(who: { readonly namespace: string } | { readonly keyId: string }): Promise<string | null>

  /** To pass into every writing command; null for a principal without a key. */
  writeGuard(principal: Principal): WriteGuard | null
}

export interface RegionAccessOptions {
  readonly region: { readonly id: string; readonly host: string }
  readonly db: Database<RegionSchema>
  readonly source: AccessSource
  /** 32 bytes from outside the database, the same in every replica: tokens are signed with keys made from it. */
  readonly rootSecret: Uint8Array
  /** By version; from outside the database. */
  readonly peppers: ReadonlyMap<number, KeyObject>
  /** `id` is new with each start of a process. */
  readonly replica: { readonly id: string; readonly version: string }
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly nowMs?: () => number
  /** A clock that never goes back, in milliseconds. */
  readonly monotonicMs?: () => number
  readonly tokenLifetimeSeconds?: number
  readonly failureLimits?: FailureLimits
  /** Fetches what issuers of CI tokens publish. Without it no CI token can be checked. */
  readonly fetchDocument?: FetchDocument
}

/**
 * Access to one region, with a follower that keeps it current. Works at once: until the follower has its first lease
 * every record is read from the database.
 */
export function createRegionAccess(options: RegionAccessOptions): RegionAccess {
  const { db, region, log } = options
  const nowMs = options.nowMs ?? Date.now
  const monotonicMs = options.monotonicMs ?? (() => performance.now())
  const lease = createLease(monotonicMs)
  const directory = createAccessDirectory({ reader: db.reader, lease, monotonicMs })
  const lastUsed = createLastUsed(db, log)
  const failures = createFailureLimit(options.failureLimits)
  const ci = createCiSignIn({
    regionId: region.id,
    db,
    directory,
    issuerKeys: createIssuerKeys({ fetchDocument: options.fetchDocument ?? fetchNothing, monotonicMs }),
    nowMs,
  })
  const replica = createReplica(db, options.replica)
  const { source } = options
  const follower = startRegionFollower({ db, source, directory, lease, replica, monotonicMs, log })

  const shared = { ...options, directory, ci, failures, lastUsed, nowMs, monotonicMs }
  const own = createView(shared, { tokenIssuer: region.id, host: region.host })
  return {
    ...own,
    underHost: (host) => createView(shared, { tokenIssuer: `@${host}`, host }),
    refresh: () => follower.pollNow(),
    async close() {
      await follower.close()
      await lastUsed.close()
    },
  }
}

interface ViewParts extends RegionAccessOptions {
  readonly directory: AccessDirectory
  readonly ci: CiSignIn
  readonly failures: FailureLimit
  readonly lastUsed: LastUsed
  readonly nowMs: () => number
}

/** The same rules and records under one host: its tokens are its own. */
function createView(
  parts: ViewParts,
  { tokenIssuer, host }: { readonly tokenIssuer: string; readonly host: string },
): AccessUnderHost {
  const { directory, region } = parts
  const tokens = createTokenAuthority({
    regionId: tokenIssuer,
    regionHost: host,
    rootSecret: parts.rootSecret,
    nowMs: parts.nowMs,
    ...(parts.tokenLifetimeSeconds === undefined ? {} : { lifetimeSeconds: parts.tokenLifetimeSeconds }),
  })
  // Under a host that regions share, whether a key is for the region is asked once it is clear that the project is its
  // own: a refusal before that would tell where another project is at home, and so that it exists.
  const isShared = host !== region.host
  const authenticator = createAuthenticator({
    ...parts,
    tokens,
    regionId: isShared ? null : region.id,
    peppers: [...parts.peppers.values()],
  })
  return {
    authenticate: (input) => authenticator.fromHeader(input.authorization, input),
    authenticatePassword: (input) => authenticator.fromPassword(input.username, input.password, input),
    exchangeCiToken: (input) => authenticator.fromCiToken(input.token, input.namespace, input),
    authenticateRefreshToken: (input) =>
      authenticator.fromRefreshToken(input.refreshToken, input.clientAddress),
    async authorize(principal, need) {
      const project = notDeleted(await directory.loadProjectByNamespace(need.namespace))
      const decision = decide(principal, project, need)
      return isShared ? withinRegion(principal, decision, need, region.id) : decision
    },
    authorizeCatalog: (principal) => {
      const decision = decideCatalog(principal)
      return isShared ? catalogWithinRegion(principal, decision, region.id) : decision
    },
    narrow: (principal, requested) => narrow(directory, principal, requested),
    async issueToken(principal, requested, { offline, isSession = false }) {
      if (isSession) return issueSession(tokens, principal)
      const access = await narrow(directory, principal, requested)
      return issueToken({ directory, tokens }, principal, access, offline)
    },
    projectByNamespace: async (namespace) => notDeleted(await directory.loadProjectByNamespace(namespace)),
    project: async (id) => notDeleted(await directory.loadProject(id)),
    homeOf: (who) => homeOf(directory, who),
    writeGuard: writeGuardOf,
  }
}

async function homeOf(
  directory: AccessDirectory,
  who: { readonly namespace: string } | { readonly keyId: string },
): Promise<string | null> {
  if ('namespace' in who) {
    return notDeleted(await directory.loadProjectByNamespace(who.namespace))?.homeRegionId ?? null
  }
  const key = await directory.loadKey(who.keyId)
  if (key === null) return null
  const home = notDeleted(await directory.loadProject(key.projectId))?.homeRegionId ?? null
  return home === null || !isForRegion(key, home) ? (key.regions[0] ?? home) : home
}

function isForRegion({ regions }: KeyRecord, id: string): boolean {
  return regions.length === 0 || regions.includes(id)
}

async function narrow(
  directory: AccessDirectory,
  principal: Principal,
  requested: readonly Scope[],
): Promise<readonly TokenAccess[]> {
  const granted: TokenAccess[] = []
  let sizeBytes = 0
  for (const scope of requested) {
    const repository = scopeRepository(scope)
    const project = repository === null ? null : await directory.loadProjectByNamespace(repository.namespace)
    const access = narrowScope(principal, scope, notDeleted(project))
    if (access === null) continue
    // A token has to stay small enough to be accepted.
    sizeBytes += JSON.stringify(access).length
    if (sizeBytes > MAX_ACCESS_CLAIM_BYTES) break
    granted.push(access)
  }
  return granted
}

async function issueToken(
  { directory, tokens }: { readonly directory: AccessDirectory; readonly tokens: TokenAuthority },
  principal: Principal,
  access: readonly TokenAccess[],
  offline: boolean,
): Promise<IssuedToken> {
  const scope = access
    .map((entry) => formatScope({ ...entry, resourceClass: null, actions: new Set(entry.actions) }))
    .join(' ')
  if (principal.kind === 'anonymous') {
    return { ...(await tokens.issueAccess(null, access)), scope, refreshToken: null }
  }
  const { keyId, ci } = principal
  const subject = subjectOf(principal)
  const keyExpiresAt = (await directory.loadKey(keyId))?.expiresAt ?? null
  if (ci !== null) {
    // No refresh token: what a job holds ends by itself.
    const issued = await tokens.issueAccess(subject, access, earliest(keyExpiresAt, ci.notAfterMs))
    return { ...issued, scope, refreshToken: null }
  }
  // A token that is narrower than its key must not be turned into one that is as wide.
  const isWhole = principal.tokenAccess === null
  return {
    ...(await tokens.issueAccess(subject, access, keyExpiresAt)),
    scope,
    refreshToken: offline && isWhole ? await tokens.issueRefresh(subject, keyExpiresAt) : null,
  }
}

async function issueSession(tokens: TokenAuthority, principal: Principal): Promise<IssuedToken> {
  if (principal.kind === 'anonymous' || principal.ci === null || principal.tokenAccess !== null) {
    throw new Error('only an exchanged CI token becomes a session')
  }
  const issued = await tokens.issueAccess(subjectOf(principal), null, principal.ci.notAfterMs)
  return { ...issued, scope: '', refreshToken: null }
}

function subjectOf({ keyId, projectId, secretVersion, ci }: KeyPrincipal): TokenSubject {
  return { keyId, projectId, secretVersion, run: ci?.run ?? null }
}

function earliest(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.min(a, b)
}

async function fetchNothing(url: string): Promise<never> {
  throw new Error(`there is no way out to ${url}`)
}

function notDeleted(project: ProjectRecord | null): AccessProject | null {
  return project === null || project.isDeleted ? null : project
}
