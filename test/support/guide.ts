import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Berth } from './berth.ts'
import { type CommandResult, runCommand } from './process.ts'

const repository = join(import.meta.dirname, '..', '..')
const entryPoint = join(repository, 'cli', 'bin', 'berth.js')

/** Where the guides are. */
export const guidesFolder = join(repository, 'docs', 'guides')

export type GuideRun = {
  readonly berth: Berth
  /** File name of the guide: `audit.md`. */
  readonly name: string
  /** Where its lines run; files that they read are there. */
  readonly folder: string
  /** On top of the server's own configuration and the operator's token. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Lines, word for word, that are not run, each with the reason. One that the guide does not have fails. */
  readonly notRun?: Readonly<Record<string, string>>
  /** Puts what the fixture has in place of a line's examples, and makes what the line needs. */
  readonly prepare?: (line: string) => string | Promise<string>
}

/**
 * The lines of a guide's code blocks, those of a block without a language (other blocks are no shell): a line that ends
 * with a backslash goes on with the next.
 */
export function guideLines(name: string): string[] {
  const page = readFileSync(join(guidesFolder, name), 'utf8')
  const blocks = [...page.matchAll(/^```(\w*)\n(.*?)^```$/gms)].filter(([, language]) => language === '')
  return blocks
    .flatMap(([, , block = '']) => block.replaceAll(/ *\\\n */g, ' ').split('\n'))
    .filter((line) => line.trim() !== '')
}

/**
 * Runs each line of a guide with bash, in order, with the real `berth` in the path, which answers questions with yes.
 * Throws for a line that fails, for one of `notRun` that the guide does not have, and for a guide without any line.
 */
export async function runGuide(run: GuideRun): Promise<void> {
  const { name, notRun = {}, prepare = (line) => line } = run
  const lines = guideLines(name)
  assert.ok(lines.length > 0, `${name} has no lines to run`)
  const gone = Object.keys(notRun).filter((line) => !lines.includes(line))
  assert.deepEqual(gone, [], `listed as not run, but not in ${name}`)
  for (const line of lines) {
    if (line in notRun) continue
    const prepared = await prepare(line)
    const result = await runShell(run, prepared)
    assert.equal(result.code, 0, `${name}: ${line}\nran as: ${prepared}\n${result.stdout}\n${result.stderr}`)
  }
}

/** Runs one line as `runGuide` does, whatever its exit code. */
export function runShell(run: GuideRun, line: string): Promise<CommandResult> {
  const { berth, folder, env = {} } = run
  const bin = join(folder, 'bin')
  mkdirSync(bin, { recursive: true })
  writeFileSync(join(bin, 'berth'), `#!/bin/sh\nexec "${process.execPath}" "${entryPoint}" --yes "$@"\n`)
  chmodSync(join(bin, 'berth'), 0o755)
  return runCommand('bash', ['-e', '-o', 'pipefail', '-c', line], {
    cwd: folder,
    allowFailure: true,
    env: {
      ...berth.env(),
      PATH: `${bin}:${process.env['PATH']}`,
      XDG_CONFIG_HOME: join(folder, 'config'),
      BERTH_CONSOLE_URL: berth.consoleUrl,
      BERTH_TOKEN: berth.operatorToken,
      ...env,
    },
  })
}
