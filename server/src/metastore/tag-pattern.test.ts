import assert from 'node:assert/strict'
import { test } from 'node:test'
import { matchesTagPatterns } from './tag-pattern.ts'

const CASES: readonly [patterns: string[], tag: string, isMeant: boolean][] = [
  [['v1'], 'v1', true],
  [['v1'], 'v10', false],
  [['v*'], 'v', true],
  [['v*'], 'rv', false],
  [['*-rc'], '1.0-rc', true],
  [['*-rc'], '-rc.1', false],
  [['v*.*.0'], 'v1.2.0', true],
  [['v*.*.0'], 'v1.0', false],
  [['a*a'], 'a', false],
  [['*'], 'anything', true],
  [['*', '!latest'], 'latest', false],
  [['!latest', '*'], 'latest', false],
  [['*', '!pr-*'], 'pr-12', false],
  [['*', '!pr-*'], 'main', true],
  [['!latest'], 'main', false],
  [[], 'main', false],
  [['V*'], 'v1', false],
]

for (const [patterns, tag, isMeant] of CASES) {
  test(`${JSON.stringify(patterns)} and ${tag}`, () => {
    assert.equal(matchesTagPatterns(patterns, tag), isMeant)
  })
}
