/**
 * What someone may do inside one project, `<noun>.<verb>`. Roles are sets of these (`ROLE_PERMISSIONS`). A permission
 * that ends in `.read` changes nothing and shows no secret.
 */
export type Permission =
  | 'project.read'
  | 'project.update'
  | 'project.delete'
  /** End one's own membership. */
  | 'project.leave'
  /** See who is a member, with name and e-mail address. */
  | 'members.read'
  /** Invite people, change roles and remove members, owners excepted. */
  | 'members.manage'
  /** The same for owners: make somebody an owner, change or remove one. */
  | 'owners.manage'
  /** Have API keys of one's own, which can do no more than one's role (`KEY_ACTIONS`) and end with the membership. */
  | 'keys.own'
  /** See, make and revoke all API keys of the project. */
  | 'keys.manage'
  | 'registries.read'
  /** Connect and change third-party registries; generate and rotate credentials of managed ones. */
  | 'registries.manage'
  /** See a stored credential of a managed registry again. */
  | 'credentials.reveal'
  | 'trust-rules.read'
  | 'trust-rules.manage'
  | 'policies.read'
  | 'policies.manage'
  | 'webhooks.read'
  | 'webhooks.manage'
  | 'content.read'
  /** Delete and restore tags, manifests and repositories. */
  | 'content.delete'
  | 'audit.read'
  | 'audit.export'

/** What a person is in a project, the most first. */
export const ROLES = ['owner', 'admin', 'developer', 'viewer'] as const

export type Role = (typeof ROLES)[number]

/** Sees the project and pulls. */
const VIEWER = [
  'project.read',
  'project.leave',
  'members.read',
  'keys.own',
  'registries.read',
  'policies.read',
  'content.read',
] as const satisfies readonly Permission[]

/** Also pushes, and sees how CI gets in. Deletes nothing: a key deletes only when an admin made it so. */
const DEVELOPER = [...VIEWER, 'trust-rules.read'] as const satisfies readonly Permission[]

/** Also runs the project: everything but deleting it and deciding who owns it. */
const ADMIN = [
  ...DEVELOPER,
  'project.update',
  'members.manage',
  'keys.manage',
  'registries.manage',
  'credentials.reveal',
  'trust-rules.manage',
  'policies.manage',
  'webhooks.read',
  'webhooks.manage',
  'content.delete',
  'audit.read',
  'audit.export',
] as const satisfies readonly Permission[]

const OWNER = [...ADMIN, 'owners.manage', 'project.delete'] as const satisfies readonly Permission[]

const ROLE_PERMISSIONS: Readonly<Record<Role, readonly Permission[]>> = {
  owner: OWNER,
  admin: ADMIN,
  developer: DEVELOPER,
  viewer: VIEWER,
}

/** What keys of a member's own may do in the registry, by the member's role. */
const KEY_ACTIONS: Readonly<Record<Role, readonly ('pull' | 'push' | 'delete')[]>> = {
  owner: ['pull', 'push', 'delete'],
  admin: ['pull', 'push', 'delete'],
  developer: ['pull', 'push'],
  viewer: ['pull'],
}

/** What a member with this role may do in the registry, with a key of their own. */
export function keyActionsOf(role: Role): readonly ('pull' | 'push' | 'delete')[] {
  return KEY_ACTIONS[role]
}

/** Roles with this permission, the most first: what a refusal names. */
export function rolesWith(permission: Permission): readonly Role[] {
  return ROLES.filter((role) => roleMay(role, permission))
}

/** Whether a role has a permission. */
export function roleMay(role: Role, permission: Permission): boolean {
  return ROLE_PERMISSIONS[role].includes(permission)
}

/**
 * Who may call an operation. There is no default: an operation without a rule does not compile.
 * `signed_in`: any authenticated principal, to read. `person`: any person, about what is theirs; the operator token has
 * no account. `project_creation`: whom the installation lets create projects. `operator`: an operator of the
 * installation. `project`: whoever has the permission in the project that the path names; to people without a role in
 * it the project does not exist.
 */
export type AccessRule =
  | { readonly kind: 'signed_in' }
  | { readonly kind: 'person' }
  | { readonly kind: 'project_creation' }
  | { readonly kind: 'operator' }
  | { readonly kind: 'project'; readonly permission: Permission }

export const SIGNED_IN = { kind: 'signed_in' } as const satisfies AccessRule
export const PERSON = { kind: 'person' } as const satisfies AccessRule
export const PROJECT_CREATION = { kind: 'project_creation' } as const satisfies AccessRule
export const OPERATOR = { kind: 'operator' } as const satisfies AccessRule

/** A rule: the caller needs this permission in the project of the path. */
export function inProject(permission: Permission): Extract<AccessRule, { kind: 'project' }> {
  return { kind: 'project', permission }
}
