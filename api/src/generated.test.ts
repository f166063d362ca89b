import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { generateReference } from '../generate-openapi.ts'
import { createOpenApi } from './openapi.ts'
import { OPERATION_IDS } from './operations.ts'

test('openapi.json and errors.md are what the contract says now (else run: node api/generate-openapi.ts)', async () => {
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
