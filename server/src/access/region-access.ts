import type { Scope } from '@berth/oci/scope'
import type { AccessProject } from './access-project.ts'
import type { Authentication } from './authentication.ts'
import type { CatalogDecision, Decision, Need } from './decision.ts'
import type { Principal, TokenAccess } from './principal.ts'
import type { ProjectId } from './project-id.ts'
import type { WriteGuard } from './write-guard.ts'

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
export interface RegionAccess {
  /** From the `Authorization` header; undefined is the anonymous principal. Takes Basic with a key, and Bearer. */
  authenticate(input: {
    readonly authorization: string | undefined
    /** From `clientAddress()`, which knows the trusted proxies. */
    readonly clientAddress: string
  }): Promise<Authentication>

  /** `grant_type=password` of the token endpoint. */
  authenticatePassword(input: {
    readonly username: string
    readonly password: string
    readonly clientAddress: string
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

  /** A token for what `narrow` leaves of the requested scopes. */
  issueToken(
    principal: Principal,
    requested: readonly Scope[],
    options: { readonly offline: boolean },
  ): Promise<IssuedToken>

  /** Null for a deleted project as for one that never was. */
  projectByNamespace(namespace: string): Promise<AccessProject | null>
  project(id: ProjectId): Promise<AccessProject | null>

  /** To pass into every writing command; null for a principal without a key. */
  writeGuard(principal: Principal): WriteGuard | null

  /** Ends the follower, writes last-used times, releases everything. */
  close(): Promise<void>
}
