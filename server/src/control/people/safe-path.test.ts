import assert from 'node:assert/strict'
import { test } from 'node:test'
import { safePath } from './safe-path.ts'

test('a path of the console is kept', () => {
  for (const path of [
    '/',
    '/account',
    '/device?user_code=ABCD',
    '/confirm?next=%2Faccount',
    '/a/b?c=d&e=%20',
  ]) {
    assert.equal(safePath(path, '/fallback'), path)
  }
})

test('whatever a browser could read as another site is not', () => {
  const wrong = [
    '',
    'account',
    'https://evil.example',
    '//evil.example',
    '///evil.example',
    '/\\evil.example',
    '/a\\b',
    '/..//evil.example',
    '/.//evil.example',
    '/a/..//evil.example',
    '/\t/evil.example',
    '/a\nb',
    '/ä',
    ' /account',
    'javascript:alert(1)',
    `/${'a'.repeat(2_000)}`,
    ['/account'],
    undefined,
    null,
  ]
  for (const given of wrong) assert.equal(safePath(given, '/fallback'), '/fallback', String(given))
})
