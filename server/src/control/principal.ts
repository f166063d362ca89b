import { ApiError } from '@berth/api/errors'
import { type AccessRule, type Permission, type Role, roleMay } from '@berth/api/access'

/** Who calls the console. */
export type ConsolePrincipal = OperatorPrincipal | PersonPrincipal

/** Whoever has the operator token of the installation. */
export interface OperatorPrincipal {
  readonly kind: 'operator'
}

/** A person with an account, by a session or a personal access token. */
export interface PersonPrincipal {
  readonly kind: 'person'
  readonly userId: string
  readonly email: string
  readonly name: string
  /** May do what the operator token may. */
  readonly isOperator: boolean
  readonly via: 'session' | 'token'
  /** Null for a token. */
  readonly sessionId: string | null
  /** Null for a session. */
  readonly tokenId: string | null
  /**
   * Until when, in ms since the epoch, the session counts as just confirmed by password, passkey or single sign-on.
   * Null: it does not. Always null for a token.
   */
  readonly steppedUpUntil: number | null
  /** Whether a token may do what asks a session for a fresh confirmation: said when it is made. False for a session. */
  readonly allowSensitive: boolean
}

/** How audit events name the caller. */
export function actorOf(principal: ConsolePrincipal): string {
  switch (principal.kind) {
    case 'operator':
      return 'operator'
    case 'person':
      return `person:${principal.userId}`
  }
}

/** Whether the caller is an operator of the installation: by the operator token, or as a person who is one. */
export function isOperator(principal: ConsolePrincipal): boolean {
  return principal.kind === 'operator' || (principal.kind === 'person' && principal.isOperator)
}

/**
 * Whether the caller may do this in a project in which they have this role (null: none). Operators may do everything
 * in every project. Denied unless a case says otherwise.
 */
export function mayInProject(
  principal: ConsolePrincipal,
  permission: Permission,
  role: Role | null,
): boolean {
  if (isOperator(principal)) return true
  return principal.kind === 'person' && role !== null && roleMay(role, permission)
}

/** Whom the installation lets create projects: every person with an account, or operators alone. */
export type ProjectCreation = 'anyone' | 'operators'

/** Whether the caller passes a rule that does not depend on a project. Denied unless a case says otherwise. */
export function mayCall(
  principal: ConsolePrincipal,
  rule: AccessRule,
  projectCreation: ProjectCreation,
): boolean {
  switch (rule.kind) {
    case 'signed_in':
      return principal.kind === 'operator' || principal.kind === 'person'
    case 'person':
      return principal.kind === 'person'
    case 'project_creation':
      return isOperator(principal) || (principal.kind === 'person' && projectCreation === 'anyone')
    case 'operator':
      return isOperator(principal)
    case 'project':
      return false
    default:
      return false
  }
}

/**
 * Whether the caller has proved lately enough who they are for an operation that asks for it. The operator token is such
 * a proof itself, and so is a personal token that was made for this: nobody makes one without a proof.
 */
export function isSteppedUp(principal: ConsolePrincipal, nowMs: number): boolean {
  if (principal.kind === 'operator') return true
  if (principal.kind !== 'person') return false
  if (principal.via === 'token') return principal.allowSensitive
  return principal.steppedUpUntil !== null && principal.steppedUpUntil > nowMs
}

/**
 * For what would outlive a personal access token that was stolen and then revoked, or lock its person out.
 * Raises `forbidden` for every such token, whatever it may do besides.
 */
export function refuseTokens(principal: ConsolePrincipal): void {
  if (principal.kind !== 'person' || principal.via !== 'token') return
  throw new ApiError('forbidden', 'No personal access token may do this. Log in with berth login.')
}

/** The caller as a person. Raises `forbidden` for the operator token, which has no account. */
export function personOf(principal: ConsolePrincipal): PersonPrincipal {
  if (principal.kind === 'person') return principal
  throw new ApiError('forbidden', 'The operator token has no account. Log in as a person: berth login.')
}
