import type { OperationId } from '@berth/api/operations'

/*
 * Who may call each operation, written down a second time, by hand, without a look at the rules in `api/src`. A change
 * of a rule fails the matrix test until the same change is made here, and an operation without a row does not compile.
 */

/** The least that a caller must be. A role is one in the project of the path; operators may do all that a role may. */
export type Who =
  | 'anyone signed in'
  | 'a person'
  | 'who may create projects'
  | 'an operator'
  | 'owner'
  | 'admin'
  | 'developer'
  | 'viewer'

export interface MatrixRow {
  readonly who: Who
  /** A session must have been confirmed lately. */
  readonly stepUp: boolean
}

const to = (who: Who): MatrixRow => ({ who, stepUp: false })
const confirmed = (who: Who): MatrixRow => ({ who, stepUp: true })

export const MATRIX: Readonly<Record<OperationId, MatrixRow>> = {
  whoami: to('anyone signed in'),
  'sessions.list': to('a person'),
  'sessions.end': to('a person'),
  'sessions.endOthers': to('a person'),
  'personalTokens.list': to('a person'),
  'personalTokens.create': confirmed('a person'),
  'personalTokens.revoke': to('a person'),
  'passkeys.list': to('a person'),
  'passkeys.delete': confirmed('a person'),

  'people.list': to('an operator'),
  'people.update': confirmed('an operator'),
  'people.resetPassword': confirmed('an operator'),

  'projects.list': to('anyone signed in'),
  'projects.create': to('who may create projects'),
  'projects.show': to('viewer'),
  'projects.update': confirmed('admin'),
  'projects.delete': confirmed('owner'),

  'members.list': to('viewer'),
  'members.update': confirmed('admin'),
  'members.remove': confirmed('admin'),
  'members.leave': confirmed('viewer'),
  'invitations.list': to('admin'),
  'invitations.create': confirmed('admin'),
  'invitations.revoke': confirmed('admin'),
  'invitations.show': to('a person'),
  'invitations.accept': to('a person'),
  'installationInvitations.list': to('an operator'),
  'installationInvitations.create': confirmed('an operator'),
  'installationInvitations.revoke': confirmed('an operator'),
  'namespaces.check': to('anyone signed in'),

  'apiKeys.list': to('viewer'),
  'apiKeys.create': confirmed('viewer'),
  'apiKeys.show': to('viewer'),
  'apiKeys.revoke': confirmed('viewer'),
  'apiKeys.rotate': confirmed('viewer'),
  'apiKeys.endOverlap': confirmed('viewer'),

  'trustRules.list': to('developer'),
  'trustRules.show': to('developer'),
  'trustRules.create': confirmed('admin'),
  'trustRules.update': confirmed('admin'),
  'trustRules.remove': confirmed('admin'),
  'ci.snippet': to('viewer'),

  'regions.list': to('anyone signed in'),

  'registries.list': to('viewer'),
  'registries.show': to('viewer'),
  'registries.create': confirmed('admin'),
  'registries.update': confirmed('admin'),
  'registries.delete': confirmed('admin'),
  'registries.test': to('admin'),
  'registries.repositories': to('viewer'),
  'registries.tags': to('viewer'),
  'registries.manifest': to('viewer'),
  'registries.generateCredentials': confirmed('admin'),
  'registries.showCredentials': confirmed('admin'),
  'registries.rotateCredentials': confirmed('admin'),
  'registries.revokeCredentials': confirmed('admin'),

  'repositories.list': to('viewer'),
  'repositories.show': to('viewer'),
  'repositories.delete': confirmed('admin'),
  'tags.list': to('viewer'),
  'tags.show': to('viewer'),
  'tags.history': to('viewer'),
  'tags.delete': confirmed('admin'),
  'tags.undelete': to('admin'),
  'manifests.list': to('viewer'),
  'manifests.show': to('viewer'),
  'manifests.referrers': to('viewer'),
  'manifests.delete': confirmed('admin'),
  'manifests.undelete': to('admin'),
  'usage.project': to('viewer'),
  'usage.repositories': to('viewer'),
  'usage.repository': to('viewer'),

  'policies.show': to('viewer'),
  'policies.update': confirmed('admin'),
  'retention.status': to('viewer'),
  'retention.preview': to('viewer'),
  'retention.run': confirmed('admin'),
  'trash.list': to('viewer'),
  'trash.purge': confirmed('admin'),

  'auditEvents.list': to('admin'),
  'auditEvents.export': to('admin'),
  'auditEvents.verify': to('admin'),
  'auditEvents.listAll': to('an operator'),
  'auditEvents.exportAll': to('an operator'),
  'auditEvents.verifyAll': to('an operator'),
  'refusals.explain': to('anyone signed in'),

  'webhooks.list': to('admin'),
  'webhooks.show': to('admin'),
  'webhooks.create': confirmed('admin'),
  'webhooks.update': confirmed('admin'),
  'webhooks.delete': confirmed('admin'),
  'webhooks.rotateSecret': confirmed('admin'),
  'webhooks.test': to('admin'),
  'webhookDeliveries.list': to('admin'),
  'webhookDeliveries.show': to('admin'),
  'webhookDeliveries.redeliver': to('admin'),

  'gc.status': to('an operator'),
  'gc.run': to('an operator'),
  'vault.status': to('an operator'),
  'vault.rekey': confirmed('an operator'),
}

/** Values of path parameters, none of which names anything that exists. */
export const PARAMS: Readonly<Record<string, string>> = {
  project: 'none',
  user: 'nobody',
  invitation: 'none',
  namespace: 'free-to-have',
  key: 'abc',
  session: 'none',
  token: 'none',
  passkey: 'none',
  registry: 'none',
  rule: 'rule_none',
  requestId: '0123456789abcdef',
  webhook: 'wh_abcdefghijkm',
  delivery: `msg_${'A'.repeat(22)}`,
  repository: 'web',
  tag: 'latest',
  reference: `sha256:${'0'.repeat(64)}`,
}

/** Bodies that pass the validation, of operations that need something in them. */
export const BODIES: Partial<Record<OperationId, object>> = {
  'personalTokens.create': { name: 'matrix' },
  'people.update': { isOperator: false },
  'projects.create': { name: 'Made by the matrix' },
  'projects.update': { name: 'Named by the matrix' },
  'members.update': { role: 'viewer' },
  'invitations.create': { email: 'matrix@example.com', role: 'viewer' },
  'installationInvitations.create': { email: 'matrix@example.com' },
  'invitations.show': { token: 'none' },
  'invitations.accept': { token: 'none' },
  'policies.update': { immutableTags: [] },
  'trash.purge': { confirm: 'another' },
  'apiKeys.create': { name: 'matrix' },
  'registries.create': { provider: 'ghcr' },
  'trustRules.create': {
    name: 'matrix',
    provider: 'github_actions',
    conditions: { repository_id: '1' },
  },
  'registries.update': { name: 'matrix' },
  'trustRules.update': { name: 'matrix' },
  'webhooks.create': { name: 'matrix', url: 'https://receiver.example/' },
  'webhooks.update': { name: 'matrix' },
}

/** Queries, of operations that need something in them. */
export const QUERIES: Partial<Record<OperationId, Readonly<Record<string, string>>>> = {
  'ci.snippet': { provider: 'github' },
}

/**
 * Every route that is no operation, with the statuses that somebody without any credential gets from each method of it:
 * pages and sign-ins. HEAD answers where GET does.
 */
export const OTHER_ROUTES: Readonly<Record<string, { readonly GET?: number; readonly POST?: number }>> = {
  // Say the same to everybody.
  '/': { GET: 200 },
  '/openapi.json': { GET: 200 },
  // Have a secret in the link, which is missing here.
  '/setup': { GET: 403, POST: 403 },
  '/invitation': { GET: 404, POST: 403 },
  '/password-reset': { GET: 404, POST: 403 },
  // Begin and end sessions; a form that no page sent is refused.
  '/sign-in': { GET: 200, POST: 403 },
  '/sign-in/sso': { GET: 303 },
  '/sign-out': { POST: 403 },
  // Ask for a session.
  '/account': { GET: 303, POST: 403 },
  '/confirm': { GET: 303, POST: 403 },
  '/device': { GET: 303, POST: 403 },
  // Sign-ins of devices and passkeys, and the way back from single sign-on.
  '/api/auth/device/code': { POST: 400 },
  '/api/auth/device/token': { POST: 400 },
  '/api/auth/callback/sso': { GET: 404 },
  '/api/auth/passkey/generate-register-options': { GET: 401 },
  '/api/auth/passkey/generate-authenticate-options': { GET: 200 },
  '/api/auth/passkey/verify-registration': { POST: 401 },
  '/api/auth/passkey/verify-authentication': { POST: 400 },
}
