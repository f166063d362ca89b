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

export const SIGNED_IN = { kind: 'signed_in' } as const satisfies AccessRule
export const OPERATOR = { kind: 'operator' } as const satisfies AccessRule

/** A rule: the caller needs this permission in the project of the path. */
export function inProject(permission: Permission): Extract<AccessRule, { kind: 'project' }> {
  return { kind: 'project', permission }
}
