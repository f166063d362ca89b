import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { LoadedTrustRule } from '../metastore/queries/access-trust-rule.ts'
import type { CiProvider } from './ci-provider.ts'
import type { CiToken } from './ci-token.ts'
import { judgeToken, matchesPattern, quoteClaim, readTrustRule, type TrustRule } from './trust-rule.ts'

const ISSUER = 'https://issuer.example'

function row(more: Partial<LoadedTrustRule> = {}): LoadedTrustRule {
  return {
    id: 'rule_a',
    provider: 'github_actions',
    issuer: ISSUER,
    stable_id: '1',
    audience: 'berth',
    conditions: '{"repository_id":"1"}',
    session_seconds: 900,
    exchange_only: 0,
    version: 1,
    created_at: 1,
    project_id: 'p',
    name: 'n',
    ...more,
  }
}

function rule(provider: CiProvider, conditions: object): TrustRule {
  const read = readTrustRule(row({ provider, conditions: JSON.stringify(conditions) }))
  assert.ok(read !== null)
  return read
}

function token(claims: Record<string, unknown>, audiences = ['berth']): CiToken {
  return { id: 't', issuer: ISSUER, audiences, claims, expiresAtMs: 1 }
}

describe('a pattern', () => {
  const table: [string, string, boolean][] = [
    ['refs/heads/main', 'refs/heads/main', true],
    ['refs/heads/main', 'refs/heads/mainx', false],
    ['refs/heads/*', 'refs/heads/main', true],
    ['refs/heads/*', 'refs/heads/a/b', false],
    ['refs/heads/*', 'refs/heads/', false],
    ['refs/heads/**', 'refs/heads/a/b', true],
    ['refs/heads/**', 'refs/heads', false],
    ['refs/tags/v*-rc', 'refs/tags/v1-rc', true],
    ['refs/tags/v*-rc', 'refs/tags/v-rc', false],
    ['refs/tags/v*-rc', 'refs/tags/v1-rc2', false],
    ['refs/tags/v*-rc', 'x/refs/tags/v1-rc', false],
    ['a.c', 'abc', false],
  ]
  for (const [pattern, text, expected] of table) {
    it(`${pattern} ${expected ? 'matches' : 'does not match'} ${text}`, () => {
      assert.equal(matchesPattern(pattern, text), expected)
    })
  }
})

describe('a rule', () => {
  it('that cannot be read trusts nobody', () => {
    for (const broken of [
      { conditions: '{}' },
      { conditions: '[]' },
      { conditions: 'null' },
      { conditions: '{"repository_id":1}' },
      { conditions: '{' },
      { provider: 'toString' },
    ]) {
      assert.equal(readTrustRule(row(broken)), null, JSON.stringify(broken))
    }
  })

  it('compares numbers and flags as they are written, and never objects or what is inherited', () => {
    const custom = rule('custom', { build: '7', locked: 'true' })
    assert.equal(judgeToken(custom, token({ build: 7, locked: true })).fits, true)
    assert.equal(judgeToken(custom, token({ build: 7.5, locked: true })).fits, false)
    assert.equal(judgeToken(custom, token({ build: { toString: '7' }, locked: true })).fits, false)
    assert.equal(judgeToken(custom, token({ build: null, locked: true })).fits, false)
    assert.equal(judgeToken(rule('custom', { constructor: 'x' }), token({})).fits, false)
  })

  it('finds an entry of a list only where the provider has lists', () => {
    const contexts = rule('circleci', {
      'oidc.circleci.com/project-id': 'p',
      'oidc.circleci.com/context-ids': 'c',
    })
    const claims = { 'oidc.circleci.com/project-id': 'p', 'oidc.circleci.com/context-ids': ['b', 'c'] }
    assert.equal(judgeToken(contexts, token(claims)).fits, true)
    assert.equal(
      judgeToken(contexts, token({ ...claims, 'oidc.circleci.com/project-id': ['p'] })).fits,
      false,
    )
    assert.equal(judgeToken(rule('gitlab_ci', { project_id: '1' }), token({ project_id: ['1'] })).fits, false)
  })

  it('takes a star literally in claims that have no patterns', () => {
    const exact = rule('custom', { job: 'a*' })
    assert.equal(judgeToken(exact, token({ job: 'ab' })).fits, false)
    assert.equal(judgeToken(exact, token({ job: 'a*' })).fits, true)
  })

  it('takes a token for several audiences when one is its own', () => {
    const github = rule('github_actions', { repository_id: '1' })
    assert.equal(judgeToken(github, token({ repository_id: '1' }, ['other', 'berth'])).fits, true)
    assert.equal(judgeToken(github, token({ repository_id: '1' }, [])).fits, false)
    assert.equal(judgeToken({ ...github, issuer: 'https://x' }, token({ repository_id: '1' })).fits, false)
  })

  it('knows a token of its own repository, and of no other', () => {
    const github = rule('github_actions', { repository_id: '1', ref: 'refs/heads/main' })
    const verdict = (claims: Record<string, unknown>) => judgeToken(github, token(claims))
    assert.deepEqual(verdict({ repository_id: '2', ref: 'x' }), {
      fits: false,
      isKnown: false,
      message: 'it asks for another repository_id than "2"',
    })
    const known = verdict({ repository_id: '1', ref: 'x' })
    assert.ok(!known.fits && known.isKnown)
    // Nothing says which jobs a custom rule is about, so its conditions stay its own.
    const custom = judgeToken(rule('custom', { job: 'a', team: 'b' }), token({ job: 'a' }))
    assert.ok(!custom.fits && !custom.isKnown)
  })
})

describe('a claim in a message', () => {
  it('is short printable ASCII', () => {
    assert.equal(quoteClaim({ a: 'x\r\n"é' }, 'a'), '"x??\'?"')
    assert.match(quoteClaim({ a: 'x'.repeat(1000) }, 'a'), /^"x{200}\.\.\."$/)
    assert.match(quoteClaim({}, 'toString'), /no such claim/)
    assert.equal(quoteClaim({ a: ['b'] }, 'a'), '"[\'b\']"')
  })
})
