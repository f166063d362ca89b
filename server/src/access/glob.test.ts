import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { matchesAnyGlob, parseRepositoryGlob, parseRepositoryGlobs } from './glob.ts'

const SEED = 20261122

/** The meaning of a glob, written down as plainly as possible; exponential, so only for short texts. */
function matchesPlainly(glob: readonly string[], path: readonly string[]): boolean {
  const [first, ...rest] = glob
  if (first === undefined) return path.length === 0
  if (first === '**') {
    return path.some((_, i) => matchesPlainly(rest, path.slice(i))) || matchesPlainly(rest, [])
  }
  const [component, ...below] = path
  return component !== undefined && componentMatches(first, component) && matchesPlainly(rest, below)
}

function componentMatches(glob: string, text: string): boolean {
  if (glob === '') return text === ''
  if (glob[0] !== '*') return glob[0] === text[0] && componentMatches(glob.slice(1), text.slice(1))
  return componentMatches(glob.slice(1), text) || (text !== '' && componentMatches(glob, text.slice(1)))
}

describe('repository globs', () => {
  const table: [glob: string, path: string, matches: boolean][] = [
    ['web', 'web', true],
    ['web', 'webs', false],
    ['web', 'web/api', false],
    ['web', 'a/web', false],
    ['web/*', 'web/api', true],
    ['web/*', 'web', false],
    ['web/*', 'web/api/v1', false],
    ['*', 'web', true],
    ['*', 'web/api', false],
    ['**', 'web', true],
    ['**', 'a/b/c/d', true],
    ['team/**', 'team', true],
    ['team/**', 'team/a/b', true],
    ['team/**', 'teams/a', false],
    ['**/api', 'api', true],
    ['**/api', 'a/b/api', true],
    ['**/api', 'a/api/b', false],
    ['a/**/z', 'a/z', true],
    ['a/**/z', 'a/b/c/z', true],
    ['a/**/z', 'a/b/c', false],
    ['a/**/m/**/z', 'a/m/m/z', true],
    ['a/**/m/**/z', 'a/b/z', false],
    ['a/**/a', 'a', false],
    ['ci-*', 'ci-', true],
    ['ci-*', 'ci', false],
    ['*-prod', 'web-prod', true],
    ['*a*a*', 'aa', true],
    ['*a*a*', 'a', false],
    ['ab*ba', 'aba', false],
    ['a.c', 'abc', false],
    ['a*c', 'a/c', false],
  ]
  for (const [glob, path, matches] of table) {
    it(`${glob} ${matches ? 'matches' : 'does not match'} ${path}`, () => {
      assert.equal(parseRepositoryGlob(glob)?.matches(path), matches)
    })
  }

  it('of another grammar are refused', () => {
    for (const text of [
      '',
      '/',
      'a/',
      '/a',
      'a//b',
      '***',
      'a**',
      '**b',
      'A',
      'a b',
      'a?',
      '[a]',
      '{a,b}',
      'a\n',
      'ä',
    ]) {
      assert.equal(parseRepositoryGlob(text), null, JSON.stringify(text))
    }
    assert.equal(parseRepositoryGlob('a'.repeat(256)), null)
    assert.notEqual(parseRepositoryGlob('a'.repeat(255)), null)
  })

  it('come in lists of at most 100, and a list with a malformed one matches nothing', () => {
    assert.equal(parseRepositoryGlobs(Array(101).fill('a')), null)
    assert.equal(parseRepositoryGlobs(Array(100).fill('a'))?.length, 100)
    assert.equal(matchesAnyGlob(['**', 'A'], 'web'), false)
    assert.equal(matchesAnyGlob([], 'web'), false)
    assert.equal(matchesAnyGlob(['api', 'web'], 'web'), true)
  })

  it('mean what the plain definition says', () => {
    const component = fc.oneof(
      { weight: 1, arbitrary: fc.constant('**') },
      {
        weight: 4,
        arbitrary: fc
          .array(fc.constantFrom('a', 'b', '*'), { minLength: 1, maxLength: 4 })
          .map((parts) => parts.join('').replace(/\*+/g, '*')),
      },
    )
    const globs = fc.array(component, { minLength: 1, maxLength: 5 })
    const name = fc
      .array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 4 })
      .map((parts) => parts.join(''))
    const paths = fc.array(name, { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(globs, paths, (glob, path) => {
        const parsed = parseRepositoryGlob(glob.join('/'))
        return parsed?.matches(path.join('/')) === matchesPlainly(glob, path)
      }),
      { seed: SEED, numRuns: 5_000 },
    )
  })

  it('of any text never crash, and match any text without one', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (glob, path) => {
        parseRepositoryGlob(glob)?.matches(path)
      }),
      { seed: SEED },
    )
  })
})
