import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CliError } from './cli-error.ts'
import { parseDigestName, parseImageName, parseTagName } from './image-name.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`

test('tags and digests are read as docker writes them', () => {
  assert.deepEqual(parseImageName('web/api:1.2'), { repository: 'web/api', reference: '1.2' })
  assert.deepEqual(parseImageName(`web@${DIGEST}`), { repository: 'web', reference: DIGEST })
  assert.deepEqual(parseTagName('web:latest'), { repository: 'web', tag: 'latest' })
  assert.deepEqual(parseDigestName(`a/b@${DIGEST}`), { repository: 'a/b', reference: DIGEST })
})

test('what lacks a part is a mistake of the command line', () => {
  for (const text of ['web', ':latest', 'web:', 'web@', '']) {
    assert.throws(
      () => parseImageName(text),
      (error) => error instanceof CliError && error.exit === 'usage',
      text,
    )
  }
  assert.throws(() => parseTagName(`web@${DIGEST}`), CliError)
  assert.throws(() => parseDigestName('web:latest'), CliError)
})
