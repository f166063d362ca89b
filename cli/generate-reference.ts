import { writeFileSync } from 'node:fs'
import { createCliReference } from './src/cli-reference.ts'
import { createProgram } from './src/program.ts'

/** The text of `docs/reference/cli.md`. */
export function generateCliReference(): string {
  const { stdin, stdout, stderr } = process
  return createCliReference(createProgram({ stdin, stdout, stderr, env: {}, nowMs: () => 0 }))
}

// `node cli/generate-reference.ts` writes the file. A test fails when that was not done after a change.
if (import.meta.main) {
  writeFileSync(new URL('../docs/reference/cli.md', import.meta.url), generateCliReference())
}
