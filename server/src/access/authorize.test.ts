import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseScope } from '@berth/oci/scope'
import type { Need } from './decision.ts'
import { catalogWithinRegion, decide, decideCatalog, narrowScope, withinRegion } from './authorize.ts'
import type { Action, KeyPrincipal, Principal, TokenAccess } from './principal.ts'
import type { ProjectId } from './project-id.ts'
import { readProjectRecord } from './records.ts'

const acme = project('acme', ['open/**'])
const other = project('other', ['open/**'])
const anonymous: Principal = { kind: 'anonymous' }

function project(namespace: string, publicRepositories: string[]) {
  const row = {
    id: `id-of-${namespace}`,
    namespace,
    deleted_at: null,
    quota_bytes: null,
    public_repositories: JSON.stringify(publicRepositories),
    allow_sparse_indexes: 0,
    immutable_tags: '[]',
    retention: null,
    home_region_id: null,
  }
  return readProjectRecord(row, { registries: [], retiredSlugs: [] })
}

/** What the client can see of an outcome: never the rule. */
function answered<Outcome extends object>(outcome: Outcome): Omit<Outcome, 'denial'> {
  const { denial: _denial, ...rest } = outcome as Outcome & { readonly denial?: unknown }
  return rest
}

function key(actions: Action[], repositories = ['**'], more: Partial<KeyPrincipal> = {}): KeyPrincipal {
  return {
    kind: 'key',
    keyId: 'k1',
    projectId: 'id-of-acme' as ProjectId,
    namespace: 'acme',
    secretVersion: 1,
    actions: new Set(actions),
    repositories,
    regions: [],
    tokenAccess: null,
    keyExpiresAt: null,
    expiredForUploadsOnly: false,
    ci: null,
    ...more,
  }
}

function token(access: TokenAccess[], more: Partial<KeyPrincipal> = {}): KeyPrincipal {
  return key(['pull', 'push'], ['**'], { tokenAccess: access, ...more })
}

const web = (actions: Action[]): TokenAccess => ({ type: 'repository', name: 'acme/web', actions })

describe('decide', () => {
  const table: [
    what: string,
    principal: Principal,
    where: typeof acme | null,
    path: string,
    action: Action,
    answer: string,
  ][] = [
    ['anonymous may pull what is public', anonymous, acme, 'open/a', 'pull', 'allow'],
    ['anonymous may not push what is public', anonymous, acme, 'open/a', 'push', 'challenge null'],
    ['anonymous may not delete what is public', anonymous, acme, 'open/a', 'delete', 'challenge null'],
    ['anonymous is asked who it is', anonymous, acme, 'web', 'pull', 'challenge null'],
    ['anonymous is asked alike where nothing is', anonymous, null, 'web', 'pull', 'challenge null'],
    ['pull allows pull', key(['pull']), acme, 'web', 'pull', 'allow'],
    ['pull does not allow push', key(['pull']), acme, 'web', 'push', 'denied'],
    ['push allows push', key(['push']), acme, 'web', 'push', 'allow'],
    ['push does not allow pull', key(['push']), acme, 'web', 'pull', 'denied'],
    ['push does not allow delete', key(['pull', 'push']), acme, 'web', 'delete', 'denied'],
    ['delete allows delete', key(['delete']), acme, 'web', 'delete', 'allow'],
    ['delete does not allow pull', key(['delete']), acme, 'web', 'pull', 'denied'],
    ['no action allows nothing', key([]), acme, 'web', 'pull', 'denied'],
    ['no glob allows nothing', key(['pull'], []), acme, 'web', 'pull', 'denied'],
    ['a glob that matches', key(['pull'], ['team/*']), acme, 'team/a', 'pull', 'allow'],
    ['a glob that does not match', key(['pull'], ['team/*']), acme, 'web', 'pull', 'denied'],
    ['a key without pull may pull what is public', key(['push'], []), acme, 'open/a', 'pull', 'allow'],
    ['another project is not found', key(['pull', 'push', 'delete']), other, 'web', 'pull', 'not_found'],
    [
      'another project is not found for push',
      key(['pull', 'push', 'delete']),
      other,
      'web',
      'push',
      'not_found',
    ],
    ['no project is not found alike', key(['pull', 'push', 'delete']), null, 'web', 'pull', 'not_found'],
    ["another project's public repository", key([]), other, 'open/a', 'pull', 'allow'],
    ["a push to another project's public repository", key(['push']), other, 'open/a', 'push', 'not_found'],
    ['a token for it', token([web(['pull'])]), acme, 'web', 'pull', 'allow'],
    [
      'a token narrower in actions',
      token([web(['pull'])]),
      acme,
      'web',
      'push',
      'challenge insufficient_scope',
    ],
    [
      'a token for another repository',
      token([web(['pull'])]),
      acme,
      'api',
      'pull',
      'challenge insufficient_scope',
    ],
    ['a token for nothing', token([]), acme, 'web', 'pull', 'challenge insufficient_scope'],
    [
      'a token is not wider than its key',
      key(['pull'], ['**'], { tokenAccess: [web(['push'])] }),
      acme,
      'web',
      'push',
      'denied',
    ],
    [
      'a token cannot name another project',
      token([{ type: 'repository', name: 'other/web', actions: ['pull'] }]),
      other,
      'web',
      'pull',
      'not_found',
    ],
    [
      'a token of another type',
      token([{ ...web(['pull']), type: 'registry' }]),
      acme,
      'web',
      'pull',
      'challenge insufficient_scope',
    ],
    [
      'a star in a token is no action',
      token([{ ...web([]), actions: ['*'] }]),
      acme,
      'web',
      'pull',
      'challenge insufficient_scope',
    ],
    [
      'an expired token',
      token([web(['push'])], { expiredForUploadsOnly: true }),
      acme,
      'web',
      'push',
      'challenge invalid_token',
    ],
    [
      'an expired token may pull what anyone may',
      token([], { expiredForUploadsOnly: true }),
      acme,
      'open/a',
      'pull',
      'allow',
    ],
  ]
  for (const [what, principal, where, path, action, answer] of table) {
    it(what, () => {
      const decision = decide(principal, where, { namespace: where?.namespace ?? 'nobody', path, action })
      const said = decision.outcome === 'challenge' ? `challenge ${decision.error}` : decision.outcome
      assert.equal(said, answer)
    })
  }

  it('lets an expired token go on with its own running upload, within its scope', () => {
    const expired = token([web(['push'])], { expiredForUploadsOnly: true })
    const need = { namespace: 'acme', path: 'web', action: 'push', ownRunningUpload: true } as const
    assert.equal(decide(expired, acme, need).outcome, 'allow')
    assert.equal(decide(expired, acme, { ...need, path: 'api' }).outcome, 'challenge')
  })

  it('answers another project and no project with equal values', () => {
    const need = { namespace: 'x', path: 'web', action: 'pull' } as const
    // Not even whoever asks afterwards is told whether somebody has the namespace.
    assert.deepEqual(decide(key(['pull']), other, need), decide(key(['pull']), null, need))
    assert.deepEqual(answered(decide(anonymous, other, need)), answered(decide(anonymous, null, need)))
  })
})

describe('under a host that regions share', () => {
  const european = key(['pull', 'push'], ['**'], { regions: ['eu'] })
  const asked = (namespace: string, path: string, action: Action = 'pull') => {
    const need = { namespace, path, action }
    const found = namespace === 'acme' ? acme : namespace === 'other' ? other : null
    return answered(withinRegion(european, decide(european, found, need), need, 'us'))
  }

  it('refuses a key of other regions in its own project alone', () => {
    assert.equal(asked('acme', 'web').outcome, 'denied')
    assert.deepEqual(asked('other', 'web'), { outcome: 'not_found' })
    assert.deepEqual(asked('nobody', 'web'), { outcome: 'not_found' })
    assert.equal(catalogWithinRegion(european, decideCatalog(european), 'us').outcome, 'denied')
  })

  it('leaves what is open to all, and keys that are for the region or for all', () => {
    assert.equal(asked('acme', 'open/x').outcome, 'allow')
    assert.equal(asked('acme', 'open/x', 'push').outcome, 'denied')
    for (const regions of [[], ['us'], ['eu', 'us']]) {
      const one = key(['pull'], ['**'], { regions })
      const need = { namespace: 'acme', path: 'web', action: 'pull' as const }
      assert.equal(withinRegion(one, decide(one, acme, need), need, 'us').outcome, 'allow')
      assert.equal(catalogWithinRegion(one, decideCatalog(one), 'us').outcome, 'allow')
    }
  })
})

describe('decideCatalog', () => {
  it('lists what the key may pull', () => {
    const decision = decideCatalog(key(['pull'], ['team/**']))
    assert.ok(decision.outcome === 'allow')
    assert.equal(decision.namespace, 'acme')
    assert.equal(decision.isVisible('team/a'), true)
    assert.equal(decision.isVisible('web'), false)
  })

  it('asks anonymous, expired and narrower tokens for more, and refuses a key without pull', () => {
    assert.deepEqual(answered(decideCatalog(anonymous)), { outcome: 'challenge', error: null })
    assert.deepEqual(answered(decideCatalog(token([]))), {
      outcome: 'challenge',
      error: 'insufficient_scope',
    })
    assert.equal(decideCatalog(key(['push'])).outcome, 'denied')
    assert.equal(decideCatalog(key(['pull'], ['**'], { expiredForUploadsOnly: true })).outcome, 'challenge')
    const catalog = { type: 'registry', name: 'catalog', actions: ['*'] }
    assert.equal(decideCatalog(token([catalog])).outcome, 'allow')
  })
})

describe('a denial', () => {
  const refuse = (principal: Principal, where: typeof acme | null, need: Partial<Need> = {}) => {
    const decision = decide(principal, where, { namespace: 'acme', path: 'web', action: 'push', ...need })
    assert.ok(decision.outcome !== 'allow')
    const { rule, projectId, detail } = decision.denial
    return { rule, projectId, detail }
  }

  it('names the rule that decided, and whose members may see it', () => {
    const mine = { projectId: acme.id }
    const cases: [denial: object, expected: object][] = [
      [refuse(anonymous, acme), { rule: 'sign_in_needed', ...mine, detail: { action: 'push' } }],
      [refuse(anonymous, null), { rule: 'sign_in_needed', projectId: null, detail: { action: 'push' } }],
      [
        refuse(key(['pull']), acme),
        { rule: 'key_action', ...mine, detail: { action: 'push', actions: ['pull'] } },
      ],
      [
        refuse(key(['push'], ['team/*']), acme),
        { rule: 'key_repository', ...mine, detail: { path: 'web', repositories: ['team/*'] } },
      ],
      [refuse(token([web(['pull'])]), acme), { rule: 'token_scope', ...mine, detail: { action: 'push' } }],
      [
        refuse(key(['push'], ['**'], { expiredForUploadsOnly: true }), acme),
        { rule: 'token_only_for_uploads', ...mine, detail: {} },
      ],
    ]
    for (const [denial, expected] of cases) assert.deepEqual(denial, expected)
  })

  it('about another namespace belongs to the project of the key alone', () => {
    const detail = { namespace: 'other', ownNamespace: 'acme' }
    const expected = { rule: 'not_here', projectId: acme.id, detail }
    for (const where of [other, null]) {
      assert.deepEqual(refuse(key(['push']), where, { namespace: 'other' }), expected)
    }
  })
})

describe('narrowScope', () => {
  const table: [principal: Principal, scope: string, where: typeof acme | null, actions: string[] | null][] =
    [
      [key(['pull', 'push']), 'repository:acme/web:push,pull', acme, ['pull', 'push']],
      [key(['pull']), 'repository:acme/web:push,pull', acme, ['pull']],
      [key(['pull']), 'repository:acme/web:push', acme, null],
      [key(['pull', 'push']), 'repository:acme/web:*', acme, ['pull', 'push']],
      [key(['pull', 'push', 'delete']), 'repository:acme/web:*', acme, ['pull', 'push', 'delete']],
      [key(['pull']), 'repository:acme/web:pull,fly', acme, ['pull']],
      [key(['pull'], ['team/*']), 'repository:acme/web:pull', acme, null],
      [key(['pull', 'push']), 'repository:other/web:pull,push', other, null],
      [key(['pull', 'push']), 'repository:nobody/web:pull,push', null, null],
      [key(['push']), 'repository:other/open/a:pull,push', other, ['pull']],
      [anonymous, 'repository:acme/open/a:pull,push', acme, ['pull']],
      [anonymous, 'repository:acme/web:pull', acme, null],
      [token([web(['pull'])]), 'repository:acme/web:pull,push', acme, ['pull']],
      [key(['pull']), 'repository:acme:pull', acme, null],
      [key(['pull']), 'repository:ACME/web:pull', acme, null],
      [key(['pull']), 'repository(plugin):acme/web:pull', acme, null],
      [key(['pull']), 'registry:catalog:*', null, ['*']],
      [key(['pull']), 'registry:catalog:pull', null, null],
      [key(['push']), 'registry:catalog:*', null, null],
      [anonymous, 'registry:catalog:*', null, null],
      [key(['pull']), 'registry:other:*', null, null],
      [token([web(['pull'])]), 'registry:catalog:*', null, null],
    ]
  for (const [principal, text, where, actions] of table) {
    const who = principal.kind === 'key' ? [...principal.actions].join('+') : 'anonymous'
    it(`${who} asks ${text}`, () => {
      const scope = parseScope(text)
      assert.ok(scope)
      assert.deepEqual(narrowScope(principal, scope, where)?.actions ?? null, actions)
    })
  }
})
