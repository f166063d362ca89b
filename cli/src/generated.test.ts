import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { generateCliReference } from '../generate-reference.ts'

test('cli.md is what the commands are now (else run: node cli/generate-reference.ts)', async () => {
  const stored = await readFile(new URL('../../docs/reference/cli.md', import.meta.url), 'utf8')
  assert.equal(
    stored,
    generateCliReference(),
    'docs/reference/cli.md is outdated: run node cli/generate-reference.ts',
  )
})
