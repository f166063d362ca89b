import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const repository = join(import.meta.dirname, '..')
const fileLimitLines = 400

/** Files above the limit, each with the reason why it is better in one piece. */
const longFiles: Record<string, string> = {
  'api/src/errors.ts': 'a table: every error code of the console in one place',
  'api/src/operations.ts': 'a table: every operation of the console in one place, a few plain lines each',
}

// Written in pieces, so that this file does not find itself.
const leftovers = new RegExp(
  `\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b|^(<<<<<<<|>>>>>>>) `,
  'm',
)
const vagueNames = /(^|\/|-)(utils?|helpers?|common|misc)(-|\.|\/|$)/
const vagueTypes = /\b(?:class|interface|type|function|const) +\w*(?:Manager|Helper|Helpers|Util|Utils)\b/

const files = listFiles()
const sources = files.filter((name) => /\.(ts|tsx|js|mjs)$/.test(name) && !name.startsWith('docs/'))
const tests = (name: string): boolean => /(\.test|[/-]contract)\.ts$/.test(name) || name.startsWith('test/')

test('no source file is longer than its limit, unless it is listed with a reason', () => {
  const long = sources.filter((name) => !tests(name) && lineCount(name) > fileLimitLines)
  assert.deepEqual(
    long.filter((name) => !(name in longFiles)).map((name) => `${name}: ${lineCount(name)} lines`),
    [],
  )
  assert.deepEqual(
    Object.keys(longFiles).filter((name) => !long.includes(name)),
    [],
    'listed, but not long any more',
  )
})

test('a rule is switched off only with a reason', () => {
  const bare = sources.flatMap((name) => {
    const lines = read(name).split('\n')
    return lines
      .map((line, index) => ({ line, where: `${name}:${index + 1}` }))
      .filter(({ line }) => /(oxlint|eslint)-disable|@ts-(expect-error|ignore|nocheck)/.test(line))
      .filter(({ line }) => !/-- \S|@ts-expect-error \S/.test(line) && !line.includes('-disable|'))
      .map(({ where }) => where)
  })
  assert.deepEqual(bare, [])
})

test('no leftover markers', () => {
  const text = files.filter(
    (name) => /\.(ts|tsx|js|mjs|md|json|yml|yaml|conf|sh|sql)$/.test(name) && name !== 'package-lock.json',
  )
  assert.deepEqual(
    text.filter((name) => leftovers.test(read(name))),
    [],
  )
})

test('names say what a thing is', () => {
  assert.deepEqual(
    sources.filter((name) => vagueNames.test(name)),
    [],
  )
  assert.deepEqual(
    sources.filter((name) => vagueTypes.test(read(name))),
    [],
  )
})

test('file names are kebab-case', () => {
  assert.deepEqual(
    sources.filter((name) => !/^([a-z0-9.@_-]+\/)*[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)+$/.test(name)),
    [],
  )
})

test('every repository path that the docs name exists', () => {
  const roots = [
    'oci',
    'api',
    'server',
    'agent',
    'cli',
    'dashboard',
    'test',
    'bench',
    'docs',
    'deploy',
    '.ci',
  ].join('|')
  const path = new RegExp(`\`((?:${roots})/[\\w./-]*)\``, 'g')
  const broken = files
    .filter((name) => name.endsWith('.md'))
    .flatMap((name) => [...read(name).matchAll(path)].map((match) => ({ name, target: match[1] as string })))
    .filter(({ target }) => !existsSync(join(repository, target)))
    .map(({ name, target }) => `${name}: ${target}`)
  assert.deepEqual(broken, [])
})

test('every link between the docs leads somewhere', () => {
  const broken = files
    .filter((name) => name.endsWith('.md'))
    .flatMap((name) =>
      [...read(name).matchAll(/\]\((?!\w+:|#)([^)\s#]+)/g)].map((match) => ({
        name,
        target: match[1] as string,
      })),
    )
    .filter(({ name, target }) => !existsSync(join(repository, name, '..', target)))
    .map(({ name, target }) => `${name}: ${target}`)
  assert.deepEqual(broken, [])
})

test('the changelog has an unreleased section, then releases with dates, newest first', () => {
  const headings = [...read('CHANGELOG.md').matchAll(/^## (.+)$/gm)].map((match) => match[1] as string)
  assert.match(headings[0] ?? '', /^\[?Unreleased\]?$/)
  const dates = headings.slice(1).map((heading) => {
    const release = /^\[?\d+\.\d+\.\d+\]?(?: [-—]|,)? ?\(?(\d{4}-\d{2}-\d{2})\)?$/.exec(heading)
    assert.ok(release, `not "version - date": ${heading}`)
    return release[1] as string
  })
  assert.deepEqual(dates, [...dates].sort().reverse())
})

/** Every file that git tracks or would track; deleted ones left out. */
function listFiles(): string[] {
  const output = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
    cwd: repository,
  })
  const names = new Set(output.toString().split('\0').filter(Boolean))
  return [...names].filter((name) => existsSync(join(repository, name))).sort()
}

function read(name: string): string {
  return readFileSync(join(repository, name), 'utf8')
}

function lineCount(name: string): number {
  return read(name).trimEnd().split('\n').length
}
