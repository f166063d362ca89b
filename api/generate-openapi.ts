import { readFileSync, writeFileSync } from 'node:fs'
import { createApiReference } from './src/api-reference.ts'
import { createErrorReference } from './src/error-reference.ts'
import { createOpenApi } from './src/openapi.ts'

/** What is generated from the contract, by the path of the file (relative to this one). */
export function generateReference(): ReadonlyMap<string, string> {
  const text = readFileSync(new URL('./package.json', import.meta.url), 'utf8')
  const { version } = JSON.parse(text) as { readonly version: string }
  return new Map([
    ['./openapi.json', `${JSON.stringify(createOpenApi(version), null, 2)}\n`],
    ['../docs/reference/api.md', createApiReference()],
    ['../docs/reference/errors.md', createErrorReference()],
  ])
}

// `node api/generate-openapi.ts` writes the files. A test fails when that was not done after a change.
if (import.meta.main) {
  for (const [path, content] of generateReference()) writeFileSync(new URL(path, import.meta.url), content)
}
