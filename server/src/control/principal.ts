import type { AccessRule, Permission } from '@berth/api/access'

/** Who calls the console. People, with their roles in projects, join the operator here. */
export type ConsolePrincipal = OperatorPrincipal

export interface OperatorPrincipal {
  readonly kind: 'operator'
}

/** How audit events name the caller. */
export function actorOf(principal: ConsolePrincipal): string {
  switch (principal.kind) {
    case 'operator':
      return 'operator'
  }
}

/** Whether the caller may do this in this project. Denied unless a case says otherwise. */
export function mayInProject(
  principal: ConsolePrincipal,
  _projectId: string,
  _permission: Permission,
): boolean {
  switch (principal.kind) {
    case 'operator':
      return true
    default:
      return false
  }
}

/** Whether the caller passes a rule that does not depend on a project. Denied unless a case says otherwise. */
export function mayCall(principal: ConsolePrincipal, rule: AccessRule): boolean {
  switch (rule.kind) {
    case 'signed_in':
      return true
    case 'operator':
      return principal.kind === 'operator'
    case 'project':
      return false
    default:
      return false
  }
}
