import type { ProjectId } from './project-id.ts'

export type Action = 'pull' | 'push' | 'delete'
export const ACTIONS: readonly Action[] = ['pull', 'push', 'delete']

/**
 * Who is asking, after authentication. `key` is an API key or machine key (shown directly as Basic, or through a
 * token made from it); `anonymous` has no credential at all and may only pull what is public.
 */
export type Principal = AnonymousPrincipal | KeyPrincipal

export interface AnonymousPrincipal {
  readonly kind: 'anonymous'
}

export interface KeyPrincipal {
  readonly kind: 'key'
  readonly keyId: string
  readonly projectId: ProjectId
  readonly namespace: string
  /** The version of the secret that was shown (Basic) or that the token was made with. */
  readonly secretVersion: number
  /** What the key itself allows. */
  readonly actions: ReadonlySet<Action>
  /** Repository globs below the namespace that the key allows. */
  readonly repositories: readonly string[]
  /** Regions that the key is for; empty: all. Looked at when it signs in, but under a host that regions share. */
  readonly regions: readonly string[]
  /** Narrowed further by a token's `access` claim; null: shown as Basic, nothing narrower than the key. */
  readonly tokenAccess: readonly TokenAccess[] | null
  /** When the API key expires, to warn in time. Null: never, or it is no API key of people. */
  readonly keyExpiresAt: number | null
  /** The token is past its expiry, but within the time that a running upload of the same key may go on with it. */
  readonly expiredForUploadsOnly: boolean
  /** A job of a CI service, by a trust rule: `keyId` is the rule's, `secretVersion` its version. Null: a key. */
  readonly ci: CiJob | null
}

export interface CiJob {
  /** Names the job in audit events; the event of its CI token says what it is. */
  readonly run: string
  /** What is made from this credential ends then, in milliseconds. Null: tokens live as long as they always do. */
  readonly notAfterMs: number | null
}

/** One entry of a token's `access` claim (Docker token specification). */
export interface TokenAccess {
  readonly type: string
  readonly name: string
  readonly actions: readonly string[]
}
