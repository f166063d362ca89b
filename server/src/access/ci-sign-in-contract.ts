import assert from 'node:assert/strict'
import { createHmac, KeyObject, sign as signBytes } from 'node:crypto'
import { after, before, beforeEach, describe, it } from 'node:test'
import { basic, CLIENT, type TestStack } from '../../../test/support/access/stack.ts'
import { guardedWrite } from '../../../test/support/access/commands.ts'
import {
  AUDIENCE,
  createTestIssuer,
  githubClaims,
  type TestIssuer,
} from '../../../test/support/access/issuer.ts'
import type { Database } from '../metastore/database.ts'
import type { NewTrustRule } from '../metastore/queries/trust-rule.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { Authentication } from './authentication.ts'
import { MAX_CI_TOKEN_AGE_SECONDS } from './limits.ts'
import type { KeyPrincipal } from './principal.ts'
import type { RegionAccess } from './region-access.ts'

const ISSUER = 'https://issuer.example'

/** What must hold of CI tokens on each kind of database. */
export function describeCiSignIn(name: string, open: () => Promise<TestStack>): void {
  describe(`CI tokens on ${name}`, () => {
    let stack: TestStack
    let db: Database<RegionSchema>
    let issuer: TestIssuer
    let access: RegionAccess
    let projectId: string
    let otherId: string
    let rule: NewTrustRule
    const claims = (more: Record<string, unknown> = {}) => githubClaims(ISSUER, Date.now(), more)

    before(async () => {
      stack = await open()
      db = await stack.openRegion()
      projectId = await stack.createProject('acme')
      otherId = await stack.createProject('other')
    })
    after(() => stack.close())
    beforeEach(async () => {
      // Each test has an issuer of its own in memory under the same name, and one rule that trusts it.
      if (rule !== undefined) await stack.removeRule(rule)
      await access?.close()
      issuer = await createTestIssuer(ISSUER)
      access = stack.openAccess(db, {
        fetchDocument: issuer.fetchDocument,
        failureLimits: {
          failuresPerCredential: 1000,
          failingCredentialsPerAddress: 1000,
          countedFailures: 10_000,
          windowSeconds: 60,
        },
      })
      rule = await stack.createRule(projectId, ISSUER, {
        conditions: { repository_id: '4711', ref: 'refs/heads/*' },
      })
      await stack.settle(db)
    })

    function password(token: string, wanted: string[] = [], username = 'ci'): Promise<Authentication> {
      return access.authenticate({
        authorization: basic(token, username),
        clientAddress: CLIENT,
        wanted,
        requestId: 'r',
      })
    }
    function exchange(
      token: string,
      namespace: string | null = null,
      wanted: string[] = [],
    ): Promise<Authentication> {
      return access.exchangeCiToken({ token, namespace, wanted, clientAddress: CLIENT, requestId: 'r' })
    }
    function principal(answer: Authentication): KeyPrincipal {
      assert.ok(answer.ok && answer.principal.kind === 'key', JSON.stringify(answer))
      return answer.principal
    }
    function refused(answer: Authentication, pattern: RegExp): void {
      assert.ok(!answer.ok, 'was let in')
      assert.ok('message' in answer, answer.reason)
      assert.match(answer.message, pattern)
      assert.match(answer.message, /^[\x20-\x7e]+$/)
    }
    const UNKNOWN = /not valid here: no trust rule names its issuer, or it is not signed by that/

    it('sign in as the password under any user name, again and again', async () => {
      const token = await issuer.key.sign(claims())
      const first = principal(await password(token))
      assert.equal(first.keyId, rule.id)
      assert.equal(first.projectId, projectId)
      assert.deepEqual([...first.actions], ['pull', 'push'])
      assert.equal(first.tokenAccess, null)
      const again = principal(await password(token, [], 'api'))
      assert.equal(again.ci?.run, first.ci?.run)
      const posted = await access.authenticatePassword({
        username: 'oidc',
        password: token,
        clientAddress: CLIENT,
      })
      assert.equal(principal(posted).ci?.run, first.ci?.run)
      assert.deepEqual(issuer.fetched, [`${ISSUER}/.well-known/openid-configuration`, `${ISSUER}/keys`])
    })

    it('leave one audit event that says which job it was', async () => {
      const token = await issuer.key.sign(claims({ run_id: '12345', run_attempt: '2' }))
      const { ci } = principal(await password(token))
      await password(token)
      const rows = await db.reader
        .selectFrom('audit_event')
        .selectAll()
        .where('actor', '=', `${rule.id}/${ci?.run}`)
        .execute()
      assert.equal(rows.length, 1)
      assert.equal(rows[0]?.action, 'ci_token.sign_in')
      const detail = JSON.parse(rows[0]?.detail ?? '') as Record<string, string>
      assert.equal(detail['repository'], 'octo/web')
      assert.equal(detail['run_id'], '12345')
      assert.equal(detail['ref'], 'refs/heads/main')
      assert.equal(rows[0]?.detail.includes(token), false)
    })

    it('are exchanged once, in every process, and not as what was a password', async () => {
      const token = await issuer.key.sign(claims())
      const { ci } = principal(await exchange(token))
      assert.ok((ci?.notAfterMs ?? 0) > Date.now() + 800_000)
      const elsewhere = stack.openAccess(await stack.openRegion(), { fetchDocument: issuer.fetchDocument })
      const again = await elsewhere.exchangeCiToken({
        token,
        namespace: null,
        wanted: [],
        clientAddress: CLIENT,
        requestId: 'r',
      })
      refused(again, /used already/)
      refused(await password(token), /used already/)
      const used = await issuer.key.sign(claims())
      principal(await password(used))
      refused(await exchange(used), /used already/)
    })

    it('are the same token whatever else changes beside the jti, and without a jti by what is signed', async () => {
      const key = await issuer.makeKey('ec', 'ES256')
      issuer.keys.push(key.publicJwk)
      const jti = 'one'
      principal(await exchange(await issuer.key.sign(claims({ jti }))))
      refused(await exchange(await issuer.key.sign(claims({ jti, run_id: '100' }))), /used already/)
      // An ES256 signature has a second spelling, (r, n - s), which verifies as well.
      const { jti: _jti, ...unnamed } = claims()
      const token = await key.sign(unnamed)
      const other = otherSpelling(token)
      assert.notEqual(other, token)
      principal(await exchange(token))
      refused(await exchange(other), /used already/)
    })

    it('exchanged at the same time are taken once', async () => {
      const token = await issuer.key.sign(claims())
      const answers = await Promise.all(Array.from({ length: 8 }, () => exchange(token)))
      assert.equal(answers.filter((answer) => answer.ok).length, 1)
    })

    it('become a session that signs in until its end, and tokens that end with it', async () => {
      const signedIn = principal(await exchange(await issuer.key.sign(claims())))
      const session = await access.issueToken(signedIn, [], { offline: false, isSession: true })
      assert.ok(session.expiresInSeconds > 890 && session.expiresInSeconds <= 900)
      const bySession = principal(await password(session.token))
      assert.equal(bySession.keyId, rule.id)
      assert.equal(bySession.tokenAccess, null)
      assert.equal(bySession.ci?.run, signedIn.ci?.run)
      const wanted = [
        {
          type: 'repository',
          resourceClass: null,
          name: 'acme/web',
          actions: new Set(['pull', 'push', 'delete']),
        },
      ]
      const issued = await access.issueToken(bySession, wanted, { offline: true })
      assert.equal(issued.refreshToken, null)
      assert.equal(issued.scope, 'repository:acme/web:pull,push')
      // A token for some scopes is no password.
      refused(await password(issued.token), /not to sign in with/)
      const bearer = await access.authenticate({
        authorization: `Bearer ${session.token}`,
        clientAddress: CLIENT,
      })
      assert.equal(principal(bearer).tokenAccess, null)
      const bearerOfScope = await access.authenticate({
        authorization: `Bearer ${issued.token}`,
        clientAddress: CLIENT,
      })
      assert.equal(principal(bearerOfScope).tokenAccess?.length, 1)
    })

    it('of hostile making are refused', async () => {
      const other = await issuer.makeKey('other')
      const stolen = await issuer.makeKey('first')
      const pem = publicPem(issuer)
      const now = Math.floor(Date.now() / 1000)
      const good = claims()
      const signed = await issuer.key.sign(good)
      const [head = '', body = '', signature = ''] = signed.split('.')
      const headed = (header: object) => Buffer.from(JSON.stringify(header)).toString('base64url')
      const table: [string, string, RegExp][] = [
        ['alg none', `${headed({ alg: 'none' })}.${body}.AAAA`, UNKNOWN],
        [
          'alg none without signature',
          `${headed({ alg: 'none' })}.${body}.`,
          /user name must be|not an API key/,
        ],
        [
          'HS256 with the public key',
          hmac(`${headed({ alg: 'HS256', kid: 'first' })}.${body}`, pem),
          UNKNOWN,
        ],
        ['another key under a known kid', await stolen.sign(good), UNKNOWN],
        ['an unknown kid', await other.sign(good), UNKNOWN],
        ['a key in the header', await other.sign(good, { jwk: other.publicJwk }), UNKNOWN],
        [
          'a key address in the header',
          await other.sign(good, { jku: 'https://evil.example/keys' }),
          UNKNOWN,
        ],
        ['a changed claim', `${head}.${headed({ ...good, repository_id: '4712' })}.${signature}`, UNKNOWN],
        [
          'another algorithm of the same key',
          `${headed({ alg: 'PS256', kid: 'first' })}.${body}.${signature}`,
          UNKNOWN,
        ],
        [
          'a critical header',
          await issuer.key.sign(good, { crit: ['b64'], b64: true }).catch(() => `${head}.${body}.AA`),
          UNKNOWN,
        ],
        ['an access token of the issuer', await issuer.key.sign(good, { typ: 'at+jwt' }), UNKNOWN],
        ['a log-out token of the issuer', await issuer.key.sign(good, { typ: 'logout+jwt' }), UNKNOWN],
        [
          'a claim that comes twice',
          signText(issuer, `{"repository_id":"1",${JSON.stringify(good).slice(1)}`),
          UNKNOWN,
        ],
        [
          'a claim in another case',
          signText(issuer, `{"Repository_ID":"4711",${JSON.stringify(good).slice(1)}`),
          UNKNOWN,
        ],
        ['another issuer', await issuer.key.sign({ ...good, iss: `${ISSUER}/` }), UNKNOWN],
        ['no issuer', await issuer.key.sign({ ...good, iss: undefined }), UNKNOWN],
        ['expired', await issuer.key.sign({ ...good, exp: now - 31 }), /has expired/],
        ['not yet valid', await issuer.key.sign({ ...good, nbf: now + 60 }), /"nbf"/],
        [
          'issued in the future',
          await issuer.key.sign({ ...good, iat: now + 60, exp: now + 300 }),
          /in the future/,
        ],
        [
          'too old',
          await issuer.key.sign({ ...good, iat: now - MAX_CI_TOKEN_AGE_SECONDS - 60 }),
          /older than/,
        ],
        ['no exp', await issuer.key.sign({ ...good, exp: undefined }), /"exp"/],
        ['no iat', await issuer.key.sign({ ...good, iat: undefined }), /"iat"/],
        ['no aud', await issuer.key.sign({ ...good, aud: undefined }), /"aud"/],
        [
          'an aud that is no text',
          await issuer.key.sign({ ...good, aud: [1] as unknown as string[] }),
          /aud/,
        ],
        [
          'another audience',
          await issuer.key.sign({ ...good, aud: `${AUDIENCE}/` }),
          /asks for the audience "https:\/\/console.example"/,
        ],
        [
          'a part of the audience',
          await issuer.key.sign({ ...good, aud: [AUDIENCE.slice(0, -1)] }),
          /asks for the audience/,
        ],
        [
          'no id of the repository',
          await issuer.key.sign({ ...good, repository_id: undefined }),
          /No trust rule fits/,
        ],
        [
          'another repository',
          await issuer.key.sign({ ...good, repository_id: '47110' }),
          /No trust rule fits .*repository_id "47110"/,
        ],
        ['a list of ids', await issuer.key.sign({ ...good, repository_id: ['4711'] }), /No trust rule fits/],
        [
          'another ref',
          await issuer.key.sign({ ...good, ref: 'refs/tags/v1' }),
          /another ref than "refs\/tags\/v1"/,
        ],
        ['a deeper ref', await issuer.key.sign({ ...good, ref: 'refs/heads/a/b' }), /another ref/],
        ['no ref', await issuer.key.sign({ ...good, ref: undefined }), /no such claim/],
        [
          'a run for a fork',
          await issuer.key.sign({ ...good, event_name: 'pull_request_target' }),
          /code of a fork/,
        ],
        [
          'a claim for headers',
          await issuer.key.sign({ ...good, ref: 'x\r\nSet-Cookie: "a"\u{1f600}' }),
          /another ref than "x\?\?Set-Cookie: 'a'/,
        ],
      ]
      for (const [what, token, message] of table) {
        for (const answer of [await password(token), await exchange(token)]) {
          assert.equal(answer.ok, false, what)
          const text = 'message' in answer ? answer.message : answer.reason
          if (what !== 'alg none without signature') assert.match(text, message, what)
          assert.match(text, /^[\x20-\x7e]+$/, what)
        }
      }
      const rows = await db.reader
        .selectFrom('ci_token')
        .select('id')
        .where('rule_id', '=', rule.id)
        .execute()
      assert.deepEqual(rows, [])
      principal(await password(signed))
    })

    it('of an issuer that no rule names cause no request', async () => {
      const stranger = await createTestIssuer('https://stranger.example')
      const token = await stranger.key.sign({ ...claims(), iss: stranger.url })
      refused(await password(token), UNKNOWN)
      await stack.updateRule(rule, { enabled: false })
      await stack.settle(db)
      refused(await password(await issuer.key.sign(claims())), UNKNOWN)
      assert.deepEqual(issuer.fetched, [])
    })

    it('with key ids that are made up cause few requests', async () => {
      const other = await issuer.makeKey('made up')
      for (let i = 0; i < 5; i++) {
        refused(await password(await other.sign(claims(), { kid: `made up ${i}` })), UNKNOWN)
      }
      assert.ok(issuer.fetched.length <= 2, issuer.fetched.join())
    })

    it('say nothing of other rules to other repositories', async () => {
      await stack.createRule(otherId, ISSUER, {
        conditions: { repository_id: '1', environment: 'secret-name' },
      })
      await stack.settle(db)
      const answer = await password(await issuer.key.sign(claims({ repository_id: '2' })))
      refused(answer, /No trust rule fits/)
      assert.doesNotMatch(JSON.stringify(answer), /secret-name|rule_|environment/)
    })

    it('that fit rules of several projects go by what is asked for', async () => {
      const theirs = await stack.createRule(otherId, ISSUER)
      const pullOnly = await stack.createRule(projectId, ISSUER, {
        actions: ['pull'],
        repositories: ['base'],
      })
      await stack.settle(db)
      const sign = () => issuer.key.sign(claims())
      const by = async (wanted: string[], username = 'ci') =>
        principal(await password(await sign(), wanted, username)).keyId
      assert.equal(await by(['repository:acme/web:pull,push']), rule.id)
      assert.equal(await by(['repository:other/web:pull']), theirs.id)
      assert.equal(await by([], 'other'), theirs.id)
      refused(await exchange(await sign()), /several projects.*audience=/)
      assert.equal(principal(await exchange(await sign(), 'other')).keyId, theirs.id)
      assert.equal(principal(await exchange(await sign(), 'acme')).keyId, rule.id)
      refused(await exchange(await sign(), 'nobody'), /No trust rule of "nobody"/)
      for (const more of [theirs, pullOnly]) await stack.removeRule(more)
      await stack.settle(db)
    })

    it('are refused at once, with all that was made of them, when the rule ends', async () => {
      const ends: [string, () => Promise<number>][] = [
        ['disabled', () => stack.updateRule(rule, { enabled: false })],
        [
          'for another ref',
          () => stack.updateRule(rule, { conditions: { repository_id: '4711', ref: 'refs/heads/x' } }),
        ],
        ['for another audience', () => stack.updateRule(rule, { audience: 'https://other.example' })],
        ['removed', () => stack.removeRule(rule)],
      ]
      for (const [what, end] of ends) {
        const token = await issuer.key.sign(claims())
        const signedIn = principal(await password(token))
        const exchanged = principal(await exchange(await issuer.key.sign(claims())))
        const session = await access.issueToken(exchanged, [], { offline: false, isSession: true })
        const issued = await access.issueToken(signedIn, [], { offline: false })
        const guard = access.writeGuard(signedIn)
        await stack.settle(db, await end())
        assert.equal((await password(token)).ok, false, what)
        assert.equal((await password(session.token)).ok, false, what)
        const bearer = { authorization: `Bearer ${issued.token}`, clientAddress: CLIENT }
        assert.equal((await access.authenticate(bearer)).ok, false, what)
        const write = { guard, nowMs: Date.now(), projectId, path: `after/${what.replaceAll(' ', '-')}` }
        assert.deepEqual(await db.run(guardedWrite, write), { ok: false, reason: 'revoked' }, what)
        if (what !== 'removed') {
          await stack.settle(db, await stack.updateRule(rule, {}))
          assert.equal((await access.authenticate(bearer)).ok, false, `${what}, and back again`)
        }
      }
    })

    it('may do no more than the rule grants, which changes at once for what was made before', async () => {
      const signedIn = principal(await password(await issuer.key.sign(claims())))
      const token = (await access.issueToken(signedIn, [], { offline: false })).token
      await stack.settle(db, await stack.updateRule(rule, { actions: ['pull'], repositories: ['base/*'] }))
      const bearer = await access.authenticate({ authorization: `Bearer ${token}`, clientAddress: CLIENT })
      assert.deepEqual([...principal(bearer).actions], ['pull'])
      assert.deepEqual(principal(bearer).repositories, ['base/*'])
      await stack.settle(db, await stack.updateRule(rule, { cidrs: ['198.51.100.0/24'] }))
      refused(await password(await issuer.key.sign(claims())), /not be used from this address/)
      await stack.settle(db, await stack.updateRule(rule, { regions: ['elsewhere'] }))
      refused(await password(await issuer.key.sign(claims())), /not for this region/)
      await stack.settle(db, await stack.updateRule(rule, { exchangeOnly: true }))
      refused(await password(await issuer.key.sign(claims())), /exchange it at the token endpoint/)
      principal(await exchange(await issuer.key.sign(claims())))
    })

    it('go on while the issuer is down, if it was seen lately, and wait for it otherwise', async () => {
      principal(await password(await issuer.key.sign(claims())))
      issuer.isDown = true
      principal(await password(await issuer.key.sign(claims())))
      const fresh = stack.openAccess(await stack.openRegion(), { fetchDocument: issuer.fetchDocument })
      const authorization = basic(await issuer.key.sign(claims()), 'ci')
      const answer = await fresh.authenticate({ authorization, clientAddress: CLIENT })
      assert.deepEqual(answer, { ok: false, reason: 'unavailable' })
    })

    it('cannot pass for keys: the id of a rule is no key', async () => {
      const { parseKey } = await import('./key.ts')
      assert.equal(parseKey(`brth_r_${rule.id}_x`), null)
      assert.equal(parseKey(`brth_k_${rule.id}_x`), null)
      const record = await db.reader
        .selectFrom('access_key')
        .selectAll()
        .where('id', '=', rule.id)
        .executeTakeFirst()
      assert.equal(record?.kind, 'r')
      assert.equal(record?.secret_hmac.byteLength, 0)
    })
  })
}

function publicPem(issuer: TestIssuer): string {
  return JSON.stringify(issuer.key.publicJwk)
}

function hmac(input: string, secret: string): string {
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}

/** Signs a payload as it is written, as no JSON library would write it. */
function signText(issuer: TestIssuer, payload: string): string {
  const header = Buffer.from(JSON.stringify({ alg: 'RS256', kid: 'first' })).toString('base64url')
  const input = `${header}.${Buffer.from(payload).toString('base64url')}`
  return `${input}.${signBytes('sha256', Buffer.from(input), KeyObject.from(issuer.key.privateKey)).toString('base64url')}`
}

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** The same token with the other signature that ECDSA allows for it. */
function otherSpelling(token: string): string {
  const end = token.lastIndexOf('.') + 1
  const signature = Buffer.from(token.slice(end), 'base64url')
  const s = BigInt(`0x${signature.subarray(32).toString('hex')}`)
  const other = Buffer.from((P256_ORDER - s).toString(16).padStart(64, '0'), 'hex')
  return token.slice(0, end) + Buffer.concat([signature.subarray(0, 32), other]).toString('base64url')
}
