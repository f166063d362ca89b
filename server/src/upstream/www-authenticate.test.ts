import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseChallenges } from './www-authenticate.ts'

function parsed(header: string): unknown {
  const challenges = parseChallenges(header)
  return challenges?.map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]) ?? null
}

test('challenges as registries send them', () => {
  assert.deepEqual(
    parsed(
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
    ),
    [
      [
        'bearer',
        {
          realm: 'https://auth.docker.io/token',
          service: 'registry.docker.io',
          scope: 'repository:a/b:pull,push',
        },
      ],
    ],
  )
  assert.deepEqual(parsed('Basic realm="Registry Realm"'), [['basic', { realm: 'Registry Realm' }]])
  assert.deepEqual(parsed('BASIC'), [['basic', {}]])
  assert.deepEqual(parsed('Bearer realm = "x" ,  Error=invalid_token'), [
    ['bearer', { realm: 'x', error: 'invalid_token' }],
  ])
})

test('several in one header stay apart', () => {
  assert.deepEqual(parsed('Bearer realm="a",service="s", Basic realm="b", Negotiate'), [
    ['bearer', { realm: 'a', service: 's' }],
    ['basic', { realm: 'b' }],
    ['negotiate', {}],
  ])
  assert.deepEqual(parsed('Negotiate YII+/a==, , Basic realm="b"'), [
    ['negotiate', {}],
    ['basic', { realm: 'b' }],
  ])
})

test('a quoted text may hold what looks like more', () => {
  assert.deepEqual(parsed('Bearer realm="a, Basic realm=\\"b\\""'), [
    ['bearer', { realm: 'a, Basic realm="b"' }],
  ])
})

test('what does not follow the grammar to its end is not understood at all', () => {
  const bad = [
    'Bearer realm="unfinished',
    'Bearer realm="a" service="b"',
    'Bearer realm="a",realm="b"',
    'Bearer realm="a",REALM="b"',
    'Bearer realm=https://a',
    'Bearer =',
    'Bearer "a"',
    'Bearer realm="a"; Basic',
    'Bearer realm="a\u0000"',
    'Bearer realm="a\u00e9"',
    '"Bearer"',
    `Bearer realm="${'a'.repeat(5_000)}"`,
    Array.from({ length: 20 }, () => 'Basic').join(','),
  ]
  for (const header of bad) assert.equal(parsed(header), null, header.slice(0, 60))
  assert.deepEqual(parsed(''), [])
  // A token68 by the grammar, so a challenge without a realm.
  assert.deepEqual(parsed('Bearer realm='), [['bearer', {}]])
})

test('a long hostile header takes linear time', () => {
  for (const header of [
    `Bearer ${'a'.repeat(4_000)}`,
    `Bearer ${' '.repeat(4_000)}`,
    `${'a=,'.repeat(1_300)}`,
  ]) {
    parseChallenges(header)
  }
})
