import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SNIPPET_PROVIDERS } from '@berth/api/trust-rules'
import { parse } from 'yaml'
import { shellLines } from './shell-lines.ts'
import { WORKFLOW_FILES } from './workflow-files.ts'

const place = {
  host: 'registry.eu.example:5000',
  origin: 'https://registry.eu.example:5000',
  namespace: 'acme',
  image: 'registry.eu.example:5000/acme/web/api',
  audience: 'https://console.example',
}

/** The script of the one job in a parsed file, wherever the service has it. */
function scriptOf(content: string): string {
  const texts: string[] = []
  const visit = (value: unknown): void => {
    if (typeof value === 'string' && value.includes('--password-stdin')) texts.push(value)
    else if (typeof value === 'object' && value !== null) Object.values(value).forEach(visit)
  }
  visit(parse(content))
  assert.equal(texts.length, 1)
  return texts[0] ?? ''
}

for (const provider of SNIPPET_PROVIDERS) {
  for (const mode of ['key', 'keyless'] as const) {
    test(`the file for ${provider} with ${mode} holds the shell lines as they are`, () => {
      const { content } = WORKFLOW_FILES[provider](mode, place)
      const lines = shellLines(provider, mode, place)
      const script = provider === 'jenkins' ? content.replaceAll(/^ {12}/gm, '') : scriptOf(content)
      assert.ok(script.includes(`${lines.join('\n')}\n`), script)
      // No secret is an argument of a command: printf is the shell's own.
      for (const line of lines) assert.doesNotMatch(line, /(?:-p|--password|-u api:)[ =]/)
      assert.ok(lines.at(-1)?.includes(place.image))
    })
  }
}

test('GitHub lets a keyless job ask for tokens, and only that one', () => {
  const { jobs } = parse(WORKFLOW_FILES.github('keyless', place).content) as {
    jobs: Record<string, { permissions: Record<string, string> }>
  }
  assert.deepEqual(jobs['push-image']?.permissions, { contents: 'read', 'id-token': 'write' })
  assert.doesNotMatch(WORKFLOW_FILES.github('key', place).content, /id-token/)
})

test('GitLab makes a token for this installation', () => {
  const file = parse(WORKFLOW_FILES.gitlab('keyless', place).content) as {
    'push-image': { id_tokens: Record<string, { aud: string }> }
  }
  assert.deepEqual(file['push-image'].id_tokens, { BERTH_ID_TOKEN: { aud: 'https://console.example' } })
})
