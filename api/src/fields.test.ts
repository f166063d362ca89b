import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { z } from 'zod'
import { apiKeyCreate, apiKeyRotate } from './api-keys.ts'
import {
  cidr,
  digest,
  displayName,
  namespaceName,
  repositoryGlob,
  repositoryPath,
  tagName,
} from './fields.ts'
import { pageQuery } from './paging.ts'
import { projectUpdate } from './projects.ts'

const CASES: readonly {
  readonly name: string
  readonly schema: z.ZodType
  readonly good: readonly unknown[]
  readonly bad: readonly unknown[]
}[] = [
  {
    name: 'a display name',
    schema: displayName,
    good: ['a', '  padded  ', 'Größe 2', '日本', 'x'.repeat(100)],
    bad: ['', '   ', 'a\u0000b', 'a\nb', 'a\u202eb', 'x'.repeat(101), 1, null],
  },
  {
    name: 'a namespace',
    schema: namespaceName,
    good: ['ab', 'my-app', '0a', 'x'.repeat(63)],
    bad: ['a', 'A1', 'a--b', '-a', 'a-', 'a_b', 'a.b', 'v2', 'api', 'x'.repeat(64), ''],
  },
  {
    name: 'a repository path',
    schema: repositoryPath,
    good: ['web', 'a/b/c', 'a.b__c-d'],
    bad: ['', '/a', 'a/', 'a//b', 'A', 'a/../b', 'a b', 'x'.repeat(256)],
  },
  {
    name: 'a tag',
    schema: tagName,
    good: ['latest', '_x', 'A.1-2'],
    bad: ['', '.a', '-a', 'a b', 'a:b', 'x'.repeat(129)],
  },
  {
    name: 'a digest',
    schema: digest,
    good: [`sha256:${'a'.repeat(64)}`, `sha512:${'0'.repeat(128)}`],
    bad: [`sha256:${'A'.repeat(64)}`, `sha256:${'a'.repeat(63)}`, `md5:${'a'.repeat(32)}`, 'latest'],
  },
  {
    name: 'a glob',
    schema: repositoryGlob,
    good: ['**', 'web/*', 'a*/b'],
    bad: ['', '/a', 'a/', 'a b', 'A', '../a/?'],
  },
  {
    name: 'a network',
    schema: cidr,
    good: ['10.0.0.0/8', '192.0.2.1', '2001:db8::/32', '::1', '0.0.0.0/0'],
    bad: [
      '',
      '10.0.0.0/33',
      '::/129',
      '10.0.0/8',
      'example.org',
      '10.0.0.0/08',
      '10.0.0.0/8/8',
      'fe80::1%eth0',
    ],
  },
  {
    name: 'a page',
    schema: pageQuery,
    good: [{}, { limit: '1' }, { limit: 500 }, { cursor: 'x' }],
    bad: [
      { limit: '0' },
      { limit: '501' },
      { limit: 'x' },
      { limit: '' },
      { limit: '1.5' },
      { cursor: '' },
      { page: 1 },
    ],
  },
  {
    name: 'a new key',
    schema: apiKeyCreate,
    good: [
      { name: 'a' },
      { name: 'a', expiresAt: null },
      { name: 'a', expiresAt: '2030-01-01T00:00:00+02:00' },
    ],
    bad: [
      {},
      { name: 'a', actions: ['pull', 'pull', 'push', 'delete'] },
      { name: 'a', expiresAt: '2030-01-01' },
    ],
  },
  {
    name: 'a rotation',
    schema: apiKeyRotate,
    good: [{}, { overlapSeconds: 0 }, { overlapSeconds: 30 * 86_400 }],
    bad: [
      { overlapSeconds: -1 },
      { overlapSeconds: 30 * 86_400 + 1 },
      { overlapSeconds: 0.5 },
      { overlapSeconds: '1' },
    ],
  },
  {
    name: 'a change of a project',
    schema: projectUpdate,
    good: [{ name: 'a' }, { quotaBytes: null }, { quotaBytes: 0 }],
    bad: [{}, { name: undefined }, { namespace: 'other' }, { quotaBytes: -1 }, { quotaBytes: 2 ** 53 }],
  },
]

for (const { name, schema, good, bad } of CASES) {
  test(`${name}: what is accepted and what is not`, () => {
    for (const value of good) assert.equal(schema.safeParse(value).success, true, JSON.stringify(value))
    for (const value of bad) assert.equal(schema.safeParse(value).success, false, JSON.stringify(value))
  })
}

test('defaults are filled in', () => {
  assert.deepEqual(pageQuery.parse({}), { limit: 50 })
  assert.deepEqual(apiKeyRotate.parse({}), { overlapSeconds: 86_400 })
  assert.equal(displayName.parse('  a  '), 'a')
})
