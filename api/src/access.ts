/** What someone may do inside one project. Roles (owner, admin, developer, viewer) are sets of these. */
export type Permission =
  | 'project.read'
  | 'project.update'
  | 'project.delete'
  | 'keys.read'
  | 'keys.manage'
  | 'content.read'
  | 'content.delete'
  | 'audit.read'

/**
 * Who may call an operation. There is no default: an operation without a rule does not compile.
 * `signed_in`: any authenticated principal. `operator`: the operator of the installation. `project`: whoever has the
 * permission in the project that the path names; to all others the project does not exist.
 */
export type AccessRule =
  | { readonly kind: 'signed_in' }
  | { readonly kind: 'operator' }
  | { readonly kind: 'project'; readonly permission: Permission }

export const SIGNED_IN: AccessRule = { kind: 'signed_in' }
export const OPERATOR: AccessRule = { kind: 'operator' }

/** A rule: the caller needs this permission in the project of the path. */
export function inProject(permission: Permission): AccessRule {
  return { kind: 'project', permission }
}
