import { createHmac, createSecretKey, hkdfSync } from 'node:crypto'
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { SignJWT } from 'jose'
import { createTokenAuthority, type TokenAuthority } from './token.ts'

const SEED = 20261122
const ROOT = new Uint8Array(32).fill(9)
const HOST = 'registry.example:5000'
const START_MS = 1_800_000_000_000
const subject = { keyId: 'abc', projectId: 'p1', secretVersion: 3, run: null }
const access = [{ type: 'repository', name: 'acme/web', actions: ['pull'] }]

function authority(more: { regionId?: string; host?: string; root?: Uint8Array } = {}) {
  const clock = { ms: START_MS }
  const tokens = createTokenAuthority({
    regionId: more.regionId ?? 'local',
    regionHost: more.host ?? HOST,
    rootSecret: more.root ?? ROOT,
    nowMs: () => clock.ms,
  })
  return { tokens, clock }
}

async function statusOf(tokens: TokenAuthority, token: string): Promise<string> {
  return (await tokens.verify('access', token)).status
}

/** The region's own key, to forge tokens that are wrong in one thing only. */
const KEY = createSecretKey(
  Buffer.from(hkdfSync('sha256', ROOT, new Uint8Array(0), 'token/local/access', 32)),
)

function craft(
  change: (jwt: SignJWT) => SignJWT,
  claims: object = { access },
  header: object = {},
): Promise<string> {
  const seconds = START_MS / 1000
  const jwt = new SignJWT({ ...claims })
    .setProtectedHeader({ alg: 'HS256', typ: 'berth-access+jwt', ...header })
    .setIssuer(HOST)
    .setAudience(HOST)
    .setIssuedAt(seconds)
    .setNotBefore(seconds)
    .setExpirationTime(seconds + 900)
    .setJti('j')
  return change(jwt).sign(KEY)
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

/** A token with any header at all, signed with the region's own key. */
function signRaw(header: object): string {
  const seconds = START_MS / 1000
  const times = { iat: seconds, nbf: seconds, exp: seconds + 900 }
  const body = `${encode(header)}.${encode({ iss: HOST, aud: HOST, jti: 'j', access, ...times })}`
  return `${body}.${createHmac('sha256', KEY).update(body).digest('base64url')}`
}

describe('access tokens', () => {
  it('say what they were issued for, and are remembered', async () => {
    const { tokens } = authority()
    const { token, expiresInSeconds } = await tokens.issueAccess(subject, access)
    assert.equal(expiresInSeconds, 900)
    const first = await tokens.verify('access', token)
    assert.ok(first.status === 'valid')
    assert.deepEqual(first.token.subject, subject)
    assert.deepEqual(first.token.access, access)
    const second = await tokens.verify('access', token)
    assert.ok(second.status === 'valid')
    assert.equal(second.token, first.token)
  })

  it('can be anonymous', async () => {
    const { tokens } = authority()
    const { token } = await tokens.issueAccess(null, [])
    const verdict = await tokens.verify('access', token)
    assert.ok(verdict.status === 'valid')
    assert.equal(verdict.token.subject, null)
  })

  it('expire after their lifetime and the skew, remembered or not, and go on for uploads for a day', async () => {
    const { tokens, clock } = authority()
    const fresh = authority()
    const { token } = await tokens.issueAccess(subject, access)
    const steps: [afterSeconds: number, status: string][] = [
      [0, 'valid'],
      [900 + 59, 'valid'],
      [900 + 61, 'grace'],
      [900 + 59 + 24 * 3600, 'grace'],
      [900 + 61 + 24 * 3600, 'expired'],
    ]
    for (const [afterSeconds, status] of steps) {
      clock.ms = START_MS + afterSeconds * 1000
      fresh.clock.ms = clock.ms
      assert.equal(await statusOf(tokens, token), status, `${afterSeconds} s`)
      assert.equal(await statusOf(authority().tokens, token), 'valid')
      assert.equal(await statusOf(fresh.tokens, token), status, `${afterSeconds} s, not remembered`)
    }
  })

  it('tolerate a clock that is a minute behind, not more', async () => {
    const { tokens, clock } = authority()
    const { token } = await tokens.issueAccess(subject, access)
    clock.ms = START_MS - 59_000
    assert.equal(await statusOf(tokens, token), 'valid')
    const { tokens: later, clock: laterClock } = authority()
    laterClock.ms = START_MS - 61_000
    assert.equal(await statusOf(later, token), 'invalid')
  })

  it('never outlive their key', async () => {
    const { tokens } = authority()
    assert.equal((await tokens.issueAccess(subject, access, START_MS + 90_000)).expiresInSeconds, 90)
  })

  const others: [what: string, other: TokenAuthority][] = [
    ['region', authority({ regionId: 'other' }).tokens],
    ['host', authority({ host: 'elsewhere' }).tokens],
    ['root secret', authority({ root: new Uint8Array(32).fill(8) }).tokens],
  ]
  for (const [what, other] of others) {
    it(`of another ${what} are refused`, async () => {
      const { token } = await other.issueAccess(subject, access)
      assert.equal(await statusOf(authority().tokens, token), 'invalid')
    })
  }

  it('and refresh tokens are not taken for each other', async () => {
    const { tokens } = authority()
    const { token } = await tokens.issueAccess(subject, access)
    const refresh = await tokens.issueRefresh(subject)
    assert.equal((await tokens.verify('refresh', refresh)).status, 'valid')
    assert.equal((await tokens.verify('refresh', token)).status, 'invalid')
    assert.equal((await tokens.verify('access', refresh)).status, 'invalid')
    assert.equal((await tokens.verify('access', token)).status, 'valid')
    assert.equal((await tokens.verify('refresh', token)).status, 'invalid', 'remembered')
  })

  const forged: [what: string, make: () => string | Promise<string>][] = [
    ['an unsigned one', () => `${encode({ alg: 'none', typ: 'berth-access+jwt' })}.${encode({ access })}.`],
    [
      'HS512 under the same key',
      () =>
        new SignJWT({ access })
          .setProtectedHeader({ alg: 'HS512', typ: 'berth-access+jwt' })
          .setIssuer(HOST)
          .setAudience(HOST)
          .setIssuedAt()
          .setNotBefore(0)
          .setExpirationTime('1y')
          .setJti('j')
          .sign(createSecretKey(Buffer.concat([KEY.export(), KEY.export()]))),
    ],
    [
      'a key of its own in the header',
      async () => {
        const body = `${encode({ alg: 'HS256', typ: 'berth-access+jwt', jwk: { kty: 'oct', k: 'AAAA' }, kid: 'x' })}.${encode({ access, exp: 4e9 })}`
        return `${body}.${createHmac('sha256', Buffer.from('AAAA', 'base64url')).update(body).digest('base64url')}`
      },
    ],
    ['another type', () => craft((jwt) => jwt, { access }, { typ: 'JWT' })],
    ['no type', () => signRaw({ alg: 'HS256' })],
    ['another issuer', () => craft((jwt) => jwt.setIssuer('evil'))],
    ['another audience', () => craft((jwt) => jwt.setAudience('evil'))],
    [
      'no expiry',
      () =>
        new SignJWT({ access })
          .setProtectedHeader({ alg: 'HS256', typ: 'berth-access+jwt' })
          .setIssuer(HOST)
          .setAudience(HOST)
          .setIssuedAt(START_MS / 1000)
          .setNotBefore(0)
          .setJti('j')
          .sign(KEY),
    ],
    ['no access list', () => craft((jwt) => jwt, {})],
    [
      'a strange access list',
      () => craft((jwt) => jwt, { access: [{ type: 'repository', name: 1, actions: [] }] }),
    ],
    ['a subject without a version', () => craft((jwt) => jwt.setSubject('abc'), { access, prj: 'p1' })],
    [
      'an unknown critical header',
      () => signRaw({ alg: 'HS256', typ: 'berth-access+jwt', crit: ['x'], x: 1 }),
    ],
    ['no signature', () => signRaw({ alg: 'HS256', typ: 'berth-access+jwt' }).replace(/[^.]+$/, '')],
    ['nothing', () => ''],
    ['dots', () => '..'],
  ]
  for (const [what, make] of forged) {
    it(`refuse ${what}`, async () =>
      assert.equal(await statusOf(authority().tokens, await make()), 'invalid'))
  }

  it('that are crafted right are accepted, so the refusals above are for what they say', async () => {
    assert.equal(await statusOf(authority().tokens, await craft((jwt) => jwt)), 'valid')
    const raw = signRaw({ alg: 'HS256', typ: 'berth-access+jwt' })
    assert.equal(await statusOf(authority().tokens, raw), 'valid')
  })

  it('of more than 8 KiB are refused, however well signed', async () => {
    const token = await craft((jwt) => jwt, { access, filling: 'x'.repeat(8_000) })
    assert.equal(await statusOf(authority().tokens, token), 'invalid')
  })

  // The last character of a signature has bits that mean nothing, so it is left out.
  it('with any character changed are refused', async () => {
    const { tokens } = authority()
    const { token } = await tokens.issueAccess(subject, access)
    await fc.assert(
      fc.asyncProperty(
        fc.nat(token.length - 2),
        fc.constantFrom('A', 'Q', 'g', 'w', '_', '-', '.'),
        async (at, character) => {
          fc.pre(token[at] !== character)
          const changed = token.slice(0, at) + character + token.slice(at + 1)
          assert.equal(await statusOf(tokens, changed), 'invalid')
        },
      ),
      { seed: SEED, numRuns: 200 },
    )
  })

  it('of any text never crash', async () => {
    const { tokens } = authority()
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => {
        assert.equal(await statusOf(tokens, text), 'invalid')
        assert.equal(await statusOf(tokens, `${encode({ alg: 'HS256' })}.${text}.${text}`), 'invalid')
      }),
      { seed: SEED },
    )
  })

  it('need a root secret of 32 bytes', () => {
    assert.throws(() => authority({ root: new Uint8Array(31) }), RangeError)
  })
})
