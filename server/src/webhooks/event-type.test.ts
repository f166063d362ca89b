import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventTypeOf } from './event-type.ts'

/** What receivers are told, for every action that is or was audited: null is not sent. */
const TYPES: Readonly<Record<string, string | null>> = {
  'access.deny': 'berth.access.denied',
  'api_key.create': 'berth.api_key.created',
  'api_key.end_overlap': 'berth.api_key.overlap_ended',
  'api_key.expired': 'berth.api_key.expired',
  'api_key.expiring': 'berth.api_key.expiring',
  'api_key.revoke': 'berth.api_key.revoked',
  'api_key.rotate': 'berth.api_key.rotated',
  'audit.prune': 'berth.audit.pruned',
  'blob.cache': null,
  'blob.delete': null,
  'blob.mount': null,
  'blob.push': null,
  'ci_token.exchange': 'berth.ci_token.exchanged',
  'ci_token.sign_in': 'berth.ci_token.signed_in',
  'device.approve': 'berth.device.approved',
  'device.deny': 'berth.device.denied',
  'installation.setup': 'berth.installation.set_up',
  'installation.update': 'berth.installation.updated',
  'invitation.accept': 'berth.invitation.accepted',
  'invitation.create': 'berth.invitation.created',
  'invitation.revoke': 'berth.invitation.revoked',
  'manifest.cache': null,
  'manifest.delete': 'berth.manifest.deleted',
  'manifest.evict': null,
  'manifest.push': 'berth.manifest.pushed',
  'manifest.undelete': 'berth.manifest.restored',
  'member.add': 'berth.member.added',
  'member.leave': 'berth.member.left',
  'member.remove': 'berth.member.removed',
  'member.update': 'berth.member.updated',
  'passkey.create': 'berth.passkey.created',
  'passkey.delete': 'berth.passkey.deleted',
  'person.create': 'berth.person.created',
  'person.displaced': 'berth.person.displaced',
  'person.link': 'berth.person.linked',
  'person.make_operator': 'berth.person.made_operator',
  'person.password_changed': 'berth.person.password_changed',
  'person.password_reset_created': 'berth.person.password_reset_created',
  'person.update': 'berth.person.updated',
  'personal_token.create': 'berth.personal_token.created',
  'personal_token.revoke': 'berth.personal_token.revoked',
  'policies.update': 'berth.policies.updated',
  'project.create': 'berth.project.created',
  'project.delete': 'berth.project.deleted',
  'project.release_namespace': 'berth.project.namespace_released',
  'project.update': 'berth.project.updated',
  'region.create': 'berth.region.created',
  'region.update': 'berth.region.updated',
  'registry.create': 'berth.registry.created',
  'registry.delete': 'berth.registry.deleted',
  'registry.test': 'berth.registry.tested',
  'registry.update': 'berth.registry.updated',
  'registry_credential.generate': 'berth.registry_credential.generated',
  'registry_credential.rotate': 'berth.registry_credential.rotated',
  'registry_credential.shown': 'berth.registry_credential.shown',
  'repository.delete': 'berth.repository.deleted',
  'repository.evict': null,
  'session.confirm': 'berth.session.confirmed',
  'session.end': 'berth.session.ended',
  'session.sign_in': 'berth.session.signed_in',
  'session.sign_in_failed': 'berth.session.sign_in_failed',
  'tag.cache': null,
  'tag.delete': 'berth.tag.deleted',
  'tag.evict': null,
  'tag.undelete': 'berth.tag.restored',
  'trash.purge': 'berth.trash.purged',
  'trust_rule.create': 'berth.trust_rule.created',
  'trust_rule.remove': 'berth.trust_rule.removed',
  'trust_rule.update': 'berth.trust_rule.updated',
  'vault.begin_rekey': 'berth.vault.rekey_begun',
  'vault.change_root_key': 'berth.vault.root_key_changed',
  'vault.end_rekey': 'berth.vault.rekey_ended',
  'webhook.create': 'berth.webhook.created',
  'webhook.delete': 'berth.webhook.deleted',
  'webhook.disable': 'berth.webhook.disabled',
  'webhook.rotate_secret': 'berth.webhook.secret_rotated',
  'webhook.update': 'berth.webhook.updated',
}

const SOURCES = join(import.meta.dirname, '..')
/** From `action:` or `action =` to the end of what it is, over the lines that it takes. */
const ACTION = /\baction(?::| =)(?:[^,;{}\n]|\n\s*[?:|])*/g

/** The actions that the sources name, wherever they give one to the audit log. */
function auditedActions(): string[] {
  const files = globSync('**/*.ts', { cwd: SOURCES }).filter(
    (file) => !/(test|contract)\.ts$|\/test-/.test(file),
  )
  const found = files.flatMap((file) => {
    const places = readFileSync(join(SOURCES, file), 'utf8').match(ACTION) ?? []
    return places.flatMap((place) =>
      [...place.matchAll(/'([a-z_]+\.[a-z_]+)'/g)].map(([, name = '']) => name),
    )
  })
  return [...new Set(found)].sort()
}

test('every action that the sources audit has a type that was chosen for it', () => {
  const actions = auditedActions()
  assert.ok(actions.length > 60, String(actions.length))
  assert.deepEqual(
    actions.filter((action) => !(action in TYPES)),
    [],
  )
  for (const [action, type] of Object.entries(TYPES)) assert.equal(eventTypeOf(action, {}), type, action)
})

test('a push that moves tags is one of tags', () => {
  assert.equal(eventTypeOf('manifest.push', { tags: ['v1'] }), 'berth.tag.pushed')
  assert.equal(eventTypeOf('manifest.push', { tags: [] }), 'berth.manifest.pushed')
})

test('the guide names only types that exist', () => {
  const guide = readFileSync(join(SOURCES, '../../docs/guides/webhooks.md'), 'utf8')
  const known = new Set([...Object.values(TYPES), 'berth.tag.pushed', 'berth.webhook.test'])
  const named = [...guide.matchAll(/`(berth\.[a-z_]+\.[a-z_]+)`/g)].map(([, type = '']) => type)
  assert.ok(named.length > 20, String(named.length))
  assert.deepEqual(
    named.filter((type) => !known.has(type)),
    [],
  )
})
