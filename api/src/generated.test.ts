import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { generateReference } from '../generate-openapi.ts'
import { createApiReference } from './api-reference.ts'
import { createOpenApi } from './openapi.ts'
import { OPERATION_IDS, OPERATIONS } from './operations.ts'
import { anchorOf } from './schema-fields.ts'

test('openapi.json, api.md and errors.md are what the contract says now (else run: node api/generate-openapi.ts)', async () => {
  for (const [path, content] of generateReference()) {
    const stored = await readFile(new URL(`../${path}`, import.meta.url), 'utf8')
    assert.equal(stored, content, `${path} is outdated: run node api/generate-openapi.ts`)
  }
})

test('every reference inside the document leads somewhere, and every operation is in it', () => {
  const document = createOpenApi('1.2.3')
  const text = JSON.stringify(document)
  const references = [...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path]) => path ?? '')
  assert.ok(references.length > 100)
  for (const path of new Set(references)) {
    let value: unknown = document
    for (const part of path.split('/')) value = (value as Record<string, unknown> | undefined)?.[part]
    assert.notEqual(value, undefined, path)
  }
  for (const id of OPERATION_IDS) assert.ok(text.includes(`"operationId":"${id}"`), id)
})

test('the page of the API has every operation, every type that it names, and who must confirm first', () => {
  const page = createApiReference()
  for (const id of OPERATION_IDS) assert.equal(page.split(`(\`${id}\`)\n`).length, 2, id)
  const headings = [...page.matchAll(/^##+ (.+)$/gm)].map(([, title = '']) => anchorOf(title))
  const links = [...page.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor = '']) => anchor)
  assert.ok(links.length > 100)
  // GitHub numbers the second of two equal headings, and a link to it would lead to the first.
  assert.deepEqual(
    links.filter((anchor) => headings.filter((heading) => heading === anchor).length !== 1),
    [],
  )
  const confirmed = OPERATION_IDS.filter((id) => 'stepUp' in OPERATIONS[id])
  assert.ok(confirmed.length > 5)
  assert.equal(page.split('Needs a fresh confirmation.').length - 1, confirmed.length)
  assert.doesNotMatch(page, /undefined|\[object/)
})
