import type { Expected, ProjectModel } from './registry-model.ts'
import { NAME_UNKNOWN, DENIED } from './registry-model.ts'
import { PERIODS } from './server.ts'

export type Action = 'pull' | 'push' | 'delete'

/** A running upload goes on with a token that expired at most this long ago; clocks may differ by the second. */
const UPLOAD_GRACE_MS = 24 * 3_600_000
const SKEW_MS = 60_000

/** An API key with every secret that it ever had. */
export type KeyModel = {
  project: ProjectModel
  id: string
  actions: ReadonlySet<Action>
  /** Texts by version, from 1; the last one is current. */
  secrets: string[]
  /** The secret before the last rotation works until then. */
  previousUntilMs: number
  isRevoked: boolean
}

/** What a request shows. */
export type Credential =
  | { kind: 'key'; key: KeyModel; version: number }
  | {
      kind: 'token'
      key: KeyModel
      version: number
      text: string
      issuedAtMs: number
      /** Full repository names with the actions that the token has there. */
      access: ReadonlyMap<string, ReadonlySet<Action>>
    }

export const UNAUTHORIZED: Expected = { status: 401, code: 'UNAUTHORIZED' }

/** The header that shows it. */
export function authorizationOf(credential: Credential): string {
  if (credential.kind === 'token') return `Bearer ${credential.text}`
  return basic(credential.key.secrets[credential.version - 1] ?? '')
}

export function basic(secret: string): string {
  return `Basic ${Buffer.from(`api:${secret}`).toString('base64')}`
}

/** `grace`: good for a running upload of the same key alone. */
export function authenticate(credential: Credential, nowMs: number): 'valid' | 'grace' | 'refused' {
  const { key, version } = credential
  const current = key.secrets.length
  const isKnown = version === current || (version === current - 1 && key.previousUntilMs > nowMs)
  if (key.isRevoked || !isKnown) return 'refused'
  if (credential.kind === 'key') return 'valid'
  const ageMs = nowMs - credential.issuedAtMs
  if (ageMs <= PERIODS.tokenMs + SKEW_MS) return 'valid'
  return ageMs <= PERIODS.tokenMs + UPLOAD_GRACE_MS + SKEW_MS ? 'grace' : 'refused'
}

export type Need = { project: ProjectModel; path: string; action: Action; ownRunningUpload?: boolean }

/** Null when the credential may, else what the answer must be. */
export function refusal(credential: Credential, need: Need, nowMs: number): Expected | null {
  const state = authenticate(credential, nowMs)
  if (state === 'refused') return UNAUTHORIZED
  if (state === 'grace' && need.ownRunningUpload !== true) return UNAUTHORIZED
  const { key } = credential
  if (need.project !== key.project) return NAME_UNKNOWN
  if (!key.actions.has(need.action)) return DENIED
  if (credential.kind === 'key') return null
  const name = `${need.project.namespace}/${need.path}`
  return credential.access.get(name)?.has(need.action) === true ? null : UNAUTHORIZED
}
