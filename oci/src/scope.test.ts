import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { formatScope, mergeScopes, parseScope, parseScopes, type Scope } from './scope.ts'

function scope(type: string, name: string, actions: string[], resourceClass: string | null = null): Scope {
  return { type, resourceClass, name, actions: new Set(actions) }
}

function parsed(...values: string[]): readonly Scope[] {
  const result = parseScopes(values)
  assert.ok(result.ok)
  return result.scopes
}

describe('parseScope', () => {
  const cases: [name: string, text: string, expected: Scope | null][] = [
    ['pull', 'repository:acme/web:pull', scope('repository', 'acme/web', ['pull'])],
    ['push and pull in docker’s order', 'repository:a:push,pull', scope('repository', 'a', ['push', 'pull'])],
    ['star', 'repository:a:*', scope('repository', 'a', ['*'])],
    ['catalog', 'registry:catalog:*', scope('registry', 'catalog', ['*'])],
    ['class', 'repository(plugin):a/b:pull', scope('repository', 'a/b', ['pull'], 'plugin')],
    ['host with a port', 'repository:host:5000/web:pull', scope('repository', 'host:5000/web', ['pull'])],
    ['no actions', 'repository:a:', scope('repository', 'a', [])],
    ['empty action', 'repository:a:,pull,', scope('repository', 'a', ['pull'])],
    ['action twice', 'repository:a:pull,pull', scope('repository', 'a', ['pull'])],
    ['malformed action', 'repository:a:pull,PUSH,de lete,1', scope('repository', 'a', ['pull'])],
    ['empty', '', null],
    ['no colon', 'repository', null],
    ['one colon', 'repository:a', null],
    ['empty type', ':a:pull', null],
    ['empty name', 'repository::pull', null],
    ['upper-case type', 'Repository:a:pull', null],
    ['unclosed class', 'repository(plugin:a:pull', null],
    ['empty class', 'repository():a:pull', null],
  ]
  for (const [name, text, expected] of cases) it(name, () => assert.deepEqual(parseScope(text), expected))
})

describe('parseScopes', () => {
  it('reads repeated and space separated parameters and merges what is the same resource', () => {
    assert.deepEqual(
      parsed('repository:a:pull  repository:b:pull', 'repository:a:pull,push', 'repository(plugin):a:pull'),
      [
        scope('repository', 'a', ['pull', 'push']),
        scope('repository', 'b', ['pull']),
        scope('repository', 'a', ['pull'], 'plugin'),
      ],
    )
  })

  it('leaves out what is malformed', () => {
    assert.deepEqual(parsed('nonsense', 'repository:a:pull x:y'), [scope('repository', 'a', ['pull'])])
    assert.deepEqual(parsed(), [])
    assert.deepEqual(parsed('', ' '), [])
  })

  const many = (count: number) => Array.from({ length: count }, (_, i) => `repository:r${i}:pull`)
  it('takes 20 resources, however often each is named', () => {
    assert.equal(parsed(...many(20), ...many(20)).length, 20)
  })
  it('refuses 21 resources', () => assert.deepEqual(parseScopes(many(21)), { ok: false, reason: 'too_many' }))
  it('refuses more than 8 KiB in all, counted in bytes', () => {
    const half = `repository:${'a'.repeat(4_080)}:pull`
    assert.equal(parseScopes([half, half.slice(0, 4_096)]).ok, true)
    assert.deepEqual(parseScopes([half, `${half}x`]), { ok: false, reason: 'too_long' })
    assert.deepEqual(parseScopes(['é'.repeat(4_097)]), { ok: false, reason: 'too_long' })
  })

  const anyScope = fc
    .record({
      type: fc.constantFrom('repository', 'registry'),
      resourceClass: fc.constantFrom(null, 'plugin'),
      name: fc.oneof(fc.constantFrom('a', 'b'), fc.stringMatching(/^[a-z0-9/:._-]{1,10}$/)),
      actions: fc.uniqueArray(fc.constantFrom('pull', 'push', 'delete', '*')),
    })
    .map((record): Scope => ({ ...record, actions: new Set(record.actions) }))

  it('reads what formatScope writes', () => {
    fc.assert(
      fc.property(anyScope, (any) => assert.deepEqual(parseScope(formatScope(any)), any)),
      { seed: 3, numRuns: 500 },
    )
  })

  it('merging loses and adds no right, and merging again changes nothing', () => {
    const rights = (scopes: readonly Scope[]): string[] => {
      const all = scopes.flatMap((one) =>
        [...one.actions].map((action) => formatScope({ ...one, actions: new Set([action]) })),
      )
      return [...new Set(all)].toSorted()
    }
    fc.assert(
      fc.property(fc.array(anyScope, { maxLength: 12 }), (scopes) => {
        const merged = mergeScopes(scopes)
        assert.deepEqual(rights(merged), rights(scopes))
        assert.deepEqual(mergeScopes(merged), merged)
      }),
      { seed: 4, numRuns: 300 },
    )
  })
})
