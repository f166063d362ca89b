import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { renderConfigurationReference } from './reference.ts'

test('docs/reference/configuration.md is what the settings say; "npm run docs" writes it anew', () => {
  const path = new URL('../../../docs/reference/configuration.md', import.meta.url)
  assert.equal(readFileSync(path, 'utf8'), renderConfigurationReference())
})
