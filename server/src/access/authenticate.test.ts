import { createSecretKey } from 'node:crypto'
import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { crc32 } from 'node:zlib'
import { parseScopes } from '@berth/oci/scope'
import type { Database } from '../metastore/database.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { Authentication } from './authentication.ts'
import { keyWithSecret, type MintedKey, mintKey } from './key.ts'
import type { KeyPrincipal } from './principal.ts'
import type { RegionAccess } from './region-access.ts'
import { basic, CLIENT, openSqliteStack, type TestStack } from '../../../test/support/access/stack.ts'

let stack: TestStack
let db: Database<RegionSchema>
let projectId: string
let key: MintedKey

before(async () => {
  stack = await openSqliteStack()
  projectId = await stack.createProject('acme', ['open/**'])
  await stack.createProject('other', ['open/**'])
  key = await stack.createKey(projectId)
  db = await stack.openRegion()
  await stack.settle(db)
})
after(() => stack.close())

function openAccess(): RegionAccess {
  return stack.openAccess(db)
}

async function show(
  access: RegionAccess,
  authorization: string,
  clientAddress = CLIENT,
): Promise<Authentication> {
  return access.authenticate({ authorization, clientAddress })
}

async function statusOf(
  access: RegionAccess,
  authorization: string,
  clientAddress = CLIENT,
): Promise<string> {
  const answer = await show(access, authorization, clientAddress)
  return answer.ok ? answer.principal.kind : answer.reason
}

/** What the client can see of an outcome: never the rule. */
function answered<Outcome extends object>(outcome: Outcome): Omit<Outcome, 'denial'> {
  const { denial: _denial, ...rest } = outcome as Outcome & { readonly denial?: unknown }
  return rest
}

async function principalOf(access: RegionAccess, authorization: string): Promise<KeyPrincipal> {
  const answer = await show(access, authorization)
  assert.ok(answer.ok && answer.principal.kind === 'key')
  return answer.principal
}

/** The same id and secret under the name of another kind, with a right checksum. */
function asMachineKey({ id, secret }: MintedKey): string {
  const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  const text = `brth_m_${id}_${secret}`
  const crc = crc32(text)
  const digits = [5, 4, 3, 2, 1, 0].map((i) => alphabet[Math.floor(crc / 62 ** i) % 62])
  return text + digits.join('')
}

function scopesOf(text: string) {
  const parsed = parseScopes([text])
  assert.ok(parsed.ok)
  return parsed.scopes
}

describe('authentication', () => {
  let access: RegionAccess
  beforeEach(() => {
    access = openAccess()
  })

  it('knows a key by Basic, and nobody without a header', async () => {
    const principal = await principalOf(access, basic(key.text))
    assert.equal(principal.keyId, key.id)
    assert.equal(principal.projectId, projectId)
    assert.equal(principal.namespace, 'acme')
    assert.equal(principal.secretVersion, 1)
    assert.deepEqual([...principal.actions], ['pull', 'push'])
    assert.equal(principal.tokenAccess, null)
    const nobody = await access.authenticate({ authorization: undefined, clientAddress: CLIENT })
    assert.deepEqual(nobody, { ok: true, principal: { kind: 'anonymous' } })
  })

  it('takes the same key as a password of the token endpoint', async () => {
    const answer = await access.authenticatePassword({
      username: 'api',
      password: key.text,
      clientAddress: CLIENT,
    })
    assert.equal(answer.ok, true)
    const wrong = await access.authenticatePassword({
      username: 'me',
      password: key.text,
      clientAddress: CLIENT,
    })
    assert.ok(!wrong.ok && wrong.reason === 'invalid')
    assert.match(wrong.message, /user name must be "api"/)
  })

  it('answers an unknown key, a wrong secret and another kind alike', async () => {
    const unknown = await show(access, basic(mintKey('k').text))
    // A right checksum around the id of a key and another secret.
    const wrong = await show(access, basic(keyWithSecret('k', key.id).text))
    const otherKind = await show(access, basic(asMachineKey(key)))
    assert.deepEqual(answered(unknown), answered(wrong))
    assert.deepEqual(answered(otherKind), answered(unknown))
    // Only whoever asks afterwards, and may, is told the difference.
    assert.deepEqual(
      [unknown, wrong].map((refused) => 'denial' in refused && refused.denial.rule),
      ['key_unknown', 'key_secret_wrong'],
    )
  })

  it('knows keys of each pepper that it is given', async () => {
    const older = createSecretKey(Buffer.alloc(32, 5))
    const newer = createSecretKey(Buffer.alloc(32, 6))
    const both = new Map([
      [2, newer],
      [1, older],
    ])
    assert.equal(await statusOf(stack.openAccess(db, { peppers: both }), basic(key.text)), 'key')
    const onlyNewer = new Map([[2, newer]])
    assert.equal(await statusOf(stack.openAccess(db, { peppers: onlyNewer }), basic(key.text)), 'invalid')
  })

  const wrong: [what: string, make: () => string][] = [
    ['another user name', () => basic(key.text, 'admin')],
    ['no user name', () => basic(key.text, '')],
    ['a broken checksum', () => basic(`${key.text.slice(0, -1)}${key.text.endsWith('a') ? 'b' : 'a'}`)],
    ['no key', () => basic('hunter2')],
    ['an empty password', () => basic('')],
    ['a key with a line break', () => basic(`${key.text}\n`)],
    ['an enrolment key', () => basic(mintKey('e').text)],
    ['a key as a Bearer token', () => `Bearer ${key.text}`],
    ['a key as an identity token', () => basic(key.text, '<token>')],
    ['another scheme', () => `Digest ${key.text}`],
    ['no base64', () => 'Basic %%%%'],
    ['too much', () => basic('x'.repeat(20_000))],
  ]
  for (const [what, make] of wrong) {
    it(`refuses ${what}`, async () => assert.equal(await statusOf(access, make()), 'invalid'))
  }

  it('heeds expiry, regions and addresses of the key', async () => {
    const expired = await stack.createKey(projectId, { expiresAt: Date.now() - 1 })
    const elsewhere = await stack.createKey(projectId, { regions: ['far'] })
    const here = await stack.createKey(projectId, { regions: ['far', 'local'] })
    const inside = await stack.createKey(projectId, { cidrs: ['10.0.0.0/8', '2001:db8::/32'] })
    await stack.settle(db)
    assert.equal(await statusOf(access, basic(expired.text)), 'expired')
    assert.equal(await statusOf(access, basic(elsewhere.text)), 'invalid')
    assert.equal(await statusOf(access, basic(here.text)), 'key')
    assert.equal(await statusOf(access, basic(inside.text), '192.0.2.1'), 'invalid')
    assert.equal(await statusOf(access, basic(inside.text), '10.1.1.1'), 'key')
    assert.equal(await statusOf(access, basic(inside.text), '::ffff:10.1.1.1'), 'key')
    assert.equal(await statusOf(access, basic(inside.text), '2001:db8::7'), 'key')
    assert.equal(await statusOf(access, basic(inside.text), 'unknown'), 'invalid')
  })

  it('notes when a key was last used', async () => {
    const used = await stack.createKey(projectId)
    await stack.settle(db)
    const before = Date.now()
    const own = openAccess()
    await principalOf(own, basic(used.text))
    await own.close()
    const row = await db.reader
      .selectFrom('access_key')
      .select('last_used_at')
      .where('id', '=', used.id)
      .executeTakeFirstOrThrow()
    assert.ok(row.last_used_at !== null && row.last_used_at % 60_000 === 0)
    assert.ok(row.last_used_at > before - 60_000 && row.last_used_at <= Date.now())
  })
})

describe('tokens', () => {
  let access: RegionAccess
  before(() => {
    access = openAccess()
  })

  it('carry what the key allows of what was asked', async () => {
    const principal = await principalOf(access, basic(key.text))
    const asked =
      'repository:acme/web:* repository:acme/open/a:pull,delete repository:other/web:pull repository:other/open/a:pull,push registry:catalog:*'
    const issued = await access.issueToken(principal, scopesOf(asked), { offline: false })
    assert.equal(
      issued.scope,
      'repository:acme/web:pull,push repository:acme/open/a:pull repository:other/open/a:pull registry:catalog:*',
    )
    assert.equal(issued.expiresInSeconds, 900)
    assert.equal(issued.refreshToken, null)
    const bearer = await principalOf(access, `Bearer ${issued.token}`)
    const outcome = async (namespace: string, path: string, action: 'pull' | 'push' | 'delete') =>
      (await access.authorize(bearer, { namespace, path, action })).outcome
    assert.equal(await outcome('acme', 'web', 'push'), 'allow')
    assert.equal(await outcome('acme', 'api', 'pull'), 'challenge')
    assert.equal(await outcome('acme', 'web', 'delete'), 'denied')
    assert.equal(await outcome('other', 'open/a', 'pull'), 'allow')
    assert.equal(await outcome('other', 'web', 'pull'), 'not_found')
    assert.equal(await outcome('nobody', 'web', 'pull'), 'not_found')
  })

  it('for nobody reach what is public', async () => {
    const issued = await access.issueToken(
      { kind: 'anonymous' },
      scopesOf('repository:acme/open/a:pull,push'),
      {
        offline: true,
      },
    )
    assert.equal(issued.scope, 'repository:acme/open/a:pull')
    assert.equal(issued.refreshToken, null)
    assert.equal(await statusOf(access, `Bearer ${issued.token}`), 'anonymous')
  })

  it('can be had for a refresh token, which is nothing else', async () => {
    const principal = await principalOf(access, basic(key.text))
    const { refreshToken, token } = await access.issueToken(principal, [], { offline: true })
    assert.ok(refreshToken)
    const exchange = (text: string) =>
      access.authenticateRefreshToken({ refreshToken: text, clientAddress: CLIENT })
    const refreshed = await exchange(refreshToken)
    assert.ok(refreshed.ok && refreshed.principal.kind === 'key')
    assert.equal(refreshed.principal.tokenAccess, null)
    assert.equal((await exchange(token)).ok, false)
    assert.equal(await statusOf(access, `Bearer ${refreshToken}`), 'invalid')
    assert.equal(await statusOf(access, basic(refreshToken, '<token>')), 'key')
    assert.equal(await statusOf(access, basic(token, '<token>')), 'invalid')
  })

  it('are not widened by asking with a token', async () => {
    const principal = await principalOf(access, basic(key.text))
    const narrow = await access.issueToken(principal, scopesOf('repository:acme/web:pull'), {
      offline: false,
    })
    const bearer = await principalOf(access, `Bearer ${narrow.token}`)
    const again = await access.issueToken(
      bearer,
      scopesOf('repository:acme/web:pull,push repository:acme/api:pull'),
      {
        offline: true,
      },
    )
    assert.equal(again.scope, 'repository:acme/web:pull')
    assert.equal(again.refreshToken, null)
  })

  it('that expired go on with their own upload for a day', async () => {
    const clock = { ms: Date.now() }
    const timed = stack.openAccess(db, { nowMs: () => clock.ms })
    const principal = await principalOf(timed, basic(key.text))
    const issued = await timed.issueToken(principal, scopesOf('repository:acme/web:push'), { offline: true })
    clock.ms += 2 * 3_600_000
    const expired = await principalOf(timed, `Bearer ${issued.token}`)
    assert.equal(expired.expiredForUploadsOnly, true)
    const need = { namespace: 'acme', path: 'web', action: 'push' } as const
    const refused = await timed.authorize(expired, need)
    assert.deepEqual(answered(refused), { outcome: 'challenge', error: 'invalid_token' })
    assert.equal('denial' in refused && refused.denial.rule, 'token_only_for_uploads')
    assert.equal((await timed.authorize(expired, { ...need, ownRunningUpload: true })).outcome, 'allow')
    clock.ms += 24 * 3_600_000
    assert.equal(await statusOf(timed, `Bearer ${issued.token}`), 'expired')
  })

  it('stay small enough to be accepted, whatever was asked', async () => {
    const principal = await principalOf(access, basic(key.text))
    const scopes = Array.from({ length: 20 }, (_, i) =>
      scopesOf(`repository:acme/${'a'.repeat(240)}${i}:pull,push`),
    )
    const issued = await access.issueToken(principal, scopes.flat(), { offline: false })
    assert.ok(issued.scope.split(' ').length > 10)
    assert.equal(await statusOf(access, `Bearer ${issued.token}`), 'key')
  })
})

describe('failures', () => {
  const limits = { failuresPerCredential: 3, failingCredentialsPerAddress: 5, countedFailures: 1000 }

  it('are limited by credential and address, and a right key is let in all the same', async () => {
    const access = stack.openAccess(db, { failureLimits: limits })
    const guess = (): string => basic(keyWithSecret('k', key.id).text)
    for (let i = 0; i < 3; i++) assert.equal(await statusOf(access, guess()), 'invalid')
    const limited = await show(access, guess())
    assert.ok(!limited.ok && limited.reason === 'rate_limited')
    assert.ok(limited.retryAfterSeconds >= 1 && limited.retryAfterSeconds <= 60)
    assert.equal(await statusOf(access, basic(key.text)), 'key')
    assert.equal(await statusOf(access, guess(), '192.0.2.2'), 'invalid')
  })

  it('with many different credentials are limited by address', async () => {
    const access = stack.openAccess(db, { failureLimits: limits })
    for (let i = 0; i < 5; i++) assert.equal(await statusOf(access, basic(mintKey('k').text)), 'invalid')
    assert.equal(await statusOf(access, basic(mintKey('k').text)), 'rate_limited')
    assert.equal(await statusOf(access, 'Bearer nonsense'), 'rate_limited')
    assert.equal(await statusOf(access, basic(key.text)), 'key')
  })

  it('of a key that was right once are no guesses', async () => {
    const access = stack.openAccess(db, { failureLimits: limits })
    const old = await stack.createKey(projectId)
    await stack.settle(db, await stack.revoke(projectId, old.id))
    for (let i = 0; i < 6; i++) assert.equal(await statusOf(access, basic(old.text)), 'revoked')
  })
})

describe('secrets', () => {
  it('are in no answer, log line or row', async () => {
    const access = openAccess()
    const canary = await stack.createKey(projectId)
    await stack.settle(db)
    const principal = await principalOf(access, basic(canary.text))
    const issued = await access.issueToken(principal, scopesOf('repository:acme/web:pull'), { offline: true })
    assert.ok(issued.refreshToken)
    const shown = [canary.secret, canary.text, issued.token, issued.refreshToken, basic(canary.text)]
    const answers: unknown[] = [principal]
    for (const text of shown) {
      for (const header of [
        text,
        `Bearer ${text}`,
        `Bearer ${text}x`,
        `Basic ${text}`,
        basic(text),
        basic(text, 'x'),
        `${text} ${text}`,
      ]) {
        answers.push(await show(access, header))
      }
      answers.push(await access.authenticateRefreshToken({ refreshToken: text, clientAddress: CLIENT }))
      answers.push(
        await access.authenticatePassword({ username: text, password: text, clientAddress: CLIENT }),
      )
    }
    // A database that fails while a credential is checked.
    const broken = await stack.openRegion()
    const cut = stack.openAccess(broken)
    await broken.close()
    const failing = await Promise.allSettled([show(cut, basic(canary.text)), cut.refresh()])
    answers.push(
      failing.map((outcome) => (outcome.status === 'rejected' ? String(outcome.reason) : outcome.value)),
    )
    const rows = await db.reader.selectFrom('access_key').selectAll().execute()
    assert.ok(rows.length > 0 && stack.logged().length > 0)
    for (const text of [JSON.stringify(answers), stack.logged(), JSON.stringify(rows)]) {
      for (const secret of [canary.secret, issued.token, issued.refreshToken, basic(canary.text).slice(6)]) {
        assert.ok(!text.includes(secret))
      }
    }
  })
})
