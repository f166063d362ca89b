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

/** What a person is in a project, the most first. */
export const ROLES = ['owner', 'admin', 'developer', 'viewer'] as const

export type Role = (typeof ROLES)[number]

const READ = ['project.read', 'content.read'] as const
const DEVELOP = [...READ, 'keys.read', 'content.delete'] as const
const ADMINISTER = [...DEVELOP, 'project.update', 'keys.manage', 'audit.read'] as const

const ROLE_PERMISSIONS: Readonly<Record<Role, readonly Permission[]>> = {
  owner: [...ADMINISTER, 'project.delete'],
  admin: ADMINISTER,
  developer: DEVELOP,
  viewer: READ,
}

/** Whether a role has a permission. */
export function roleMay(role: Role, permission: Permission): boolean {
  return ROLE_PERMISSIONS[role].includes(permission)
}

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
