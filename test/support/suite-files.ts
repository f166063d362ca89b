import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { isToolName, type ToolName } from './tool-table.ts'

export const stacks = ['sqlite-fs', 'postgres-s3'] as const
export type Stack = (typeof stacks)[number]
export type Tier = 'quick' | 'full'

/** A test file and what its header comments ask for. */
export type SuiteFile = {
  /** Absolute path. */
  path: string
  /** Path within the repository, for messages. */
  name: string
  /** `// @needs a, b`: tools without which the file cannot run. */
  needs: ToolName[]
  /** `// @uses a, b`: tools that are installed when possible; the file says itself what it leaves out. */
  uses: ToolName[]
  /** `// @stacks sqlite-fs`: the stacks on which the file makes sense. Default: all. */
  stacks: Stack[]
  /** `// @tier full`: too long for `npm test`; `.ci/run` runs it. Default: quick. */
  tier: Tier
}

const repository = join(import.meta.dirname, '..', '..')
const members = ['oci', 'api', 'server', 'agent', 'cli', 'dashboard', 'bench']
/** Tool and stack lines stand at the top of a file; further down the words are only text. */
const headerLimitChars = 2000

/**
 * Names of the suites: `unit` (beside the code), `support` (the toolbox's own tests), and one for each other
 * folder of test/ that has test files, such as `conformance` and `e2e`.
 */
export function suiteNames(): string[] {
  const folders = readdirSync(join(repository, 'test'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'support')
    .map((entry) => entry.name)
    .filter((name) => globSync(`test/${name}/**/*.test.ts`, { cwd: repository }).length > 0)
  return ['unit', 'support', ...folders.sort()]
}

/** Whether a suite runs against a started Berth, so that it makes sense once for each stack. */
export function dependsOnStack(suite: string): boolean {
  return suite !== 'unit' && suite !== 'support'
}

/** The test files of a suite, in a fixed order. Throws for a header that names an unknown tool, stack or tier. */
export function suiteFiles(suite: string): SuiteFile[] {
  const patterns =
    suite === 'unit'
      ? [...members.filter(hasMember).map((member) => `${member}/**/*.test.ts`), 'test/*.test.ts']
      : [`test/${suite}/**/*.test.ts`]
  const exclude = (path: string): boolean => path.includes('node_modules')
  return globSync(patterns, { cwd: repository, exclude })
    .sort()
    .map((name) => readSuiteFile(join(repository, name)))
}

/** Reads the header comments of one test file. */
export function readSuiteFile(path: string): SuiteFile {
  const name = relative(repository, path)
  const header = readFileSync(path, 'utf8').slice(0, headerLimitChars)
  const words = (tag: string): string[] => {
    const lines = [...header.matchAll(new RegExp(`^// @${tag} (.*)$`, 'gm'))]
    return lines.flatMap((line) => (line[1] as string).split(',')).map((word) => word.trim())
  }
  const checked = <T extends string>(tag: string, isKnown: (word: string) => word is T): T[] =>
    words(tag).map((word) => {
      if (!isKnown(word)) throw new Error(`${name}: "@${tag} ${word}" is not known`)
      return word
    })
  const ownStacks = checked('stacks', (word): word is Stack => (stacks as readonly string[]).includes(word))
  const tiers = checked('tier', (word): word is Tier => word === 'quick' || word === 'full')
  return {
    path,
    name,
    needs: checked('needs', isToolName),
    uses: checked('uses', isToolName),
    stacks: ownStacks.length === 0 ? [...stacks] : ownStacks,
    tier: tiers[0] ?? 'quick',
  }
}

function hasMember(member: string): boolean {
  return existsSync(join(repository, member))
}
