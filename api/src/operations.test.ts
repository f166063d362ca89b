import assert from 'node:assert/strict'
import { test } from 'node:test'
import { API_ERRORS } from './errors.ts'
import { errorCodesOf } from './openapi.ts'
import type { Operation } from './operation.ts'
import { OPERATION_IDS, OPERATIONS } from './operations.ts'

const ALL: readonly (readonly [string, Operation])[] = OPERATION_IDS.map((id) => [id, OPERATIONS[id]])

test('no two operations have the same method and path', () => {
  const routes = ALL.map(([, { method, path }]) => `${method} ${path}`)
  assert.equal(new Set(routes).size, routes.length)
})

test('the parameters of a path are those of its schema', () => {
  for (const [id, { path, params }] of ALL) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    assert.deepEqual(named, Object.keys(params?.shape ?? {}), id)
  }
})

test('a rule about a project needs a project in the path, and a project in the path needs such a rule', () => {
  for (const [id, { path, access }] of ALL) {
    assert.equal(access.kind === 'project', path.startsWith('/projects/{project}'), id)
  }
})

test('whoever may only read may not change anything', () => {
  for (const [id, { method, access }] of ALL) {
    if (access.kind === 'project' && access.permission.endsWith('.read')) assert.equal(method, 'GET', id)
    if (access.kind === 'signed_in') assert.equal(method, 'GET', id)
  }
})

test('objects in requests refuse unknown fields', () => {
  for (const [id, { params, query, body }] of ALL) {
    for (const schema of [params, query, body]) {
      if (schema === null) continue
      const result = schema.safeParse({ somethingUnknown: 1 })
      const codes = result.error?.issues.map(({ code }) => code) ?? []
      assert.ok(codes.includes('unrecognized_keys'), id)
    }
  }
})

test('lists take limit and cursor, and answer items and nextCursor', () => {
  for (const [id, { query, response }] of ALL) {
    const isList = response.safeParse({ items: [], nextCursor: null }).success
    const isPaged = query !== null && 'limit' in query.shape && 'cursor' in query.shape
    assert.equal(isList, isPaged, id)
  }
})

test('the errors of an operation are each named once, in the order of the table', () => {
  for (const [id, operation] of ALL) {
    assert.equal(new Set(operation.errors).size, operation.errors.length, id)
    const codes = errorCodesOf(operation)
    assert.equal(new Set(codes).size, codes.length, id)
    for (const code of operation.errors) assert.ok(codes.includes(code), `${id} ${code}`)
  }
})

test('every error of the table has a status of a client or server error, and full sentences', () => {
  for (const [code, { status, title, description }] of Object.entries(API_ERRORS)) {
    assert.ok(status >= 400 && status < 600, code)
    assert.match(code, /^[a-z]+(_[a-z]+)*$/)
    assert.match(title, /^[A-Z].*[^.]$/, code)
    assert.match(description, /^[A-Z`].*\.$/, code)
  }
})
