import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { basic, CLIENT, type TestStack } from '../../../test/support/access/stack.ts'
import { guardedWrite } from '../../../test/support/access/commands.ts'
import { hostileTokens, otherSpelling, UNKNOWN_TOKEN } from '../../../test/support/access/hostile-tokens.ts'
import { createTestIssuer, githubClaims, type TestIssuer } from '../../../test/support/access/issuer.ts'
import type { Database } from '../metastore/database.ts'
import { claimCiToken } from '../metastore/queries/ci-token.ts'
import type { NewTrustRule } from '../metastore/queries/trust-rule.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { Authentication } from './authentication.ts'
import type { KeyPrincipal } from './principal.ts'
import type { RegionAccess } from './region-access.ts'

const ISSUER = 'https://issuer.example'
const MAIN_ONLY = { repository_id: '4711', ref: 'refs/heads/main' }
const ANY_REF = { conditions: { repository_id: '4711', ref: 'refs/heads/*' } }
/** What a job asks for that pulls from another project. */
const THEIRS = ['repository:other/web:pull']

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

    it('of hostile making are refused, and leave nothing behind', async () => {
      for (const [what, token, message] of await hostileTokens(issuer)) {
        for (const answer of [await password(token, [], 'acme'), await exchange(token, 'acme')]) {
          assert.ok(!answer.ok && 'message' in answer, what)
          assert.match(answer.message, message, what)
          assert.match(answer.message, /^[\x20-\x7e]+$/, what)
        }
      }
      const query = db.reader.selectFrom('ci_token').select('id').where('rule_id', '=', rule.id)
      assert.deepEqual(await query.execute(), [])
      principal(await password(await issuer.key.sign(claims())))
    })

    it('of an issuer that no rule names cause no request', async () => {
      const stranger = await createTestIssuer('https://stranger.example')
      const token = await stranger.key.sign({ ...claims(), iss: stranger.url })
      refused(await password(token), UNKNOWN_TOKEN)
      await stack.updateRule(rule, { enabled: false })
      await stack.settle(db)
      refused(await password(await issuer.key.sign(claims())), UNKNOWN_TOKEN)
      assert.deepEqual(issuer.fetched, [])
    })

    it('with key ids that are made up cause few requests', async () => {
      const other = await issuer.makeKey('made up')
      for (let i = 0; i < 5; i++) {
        refused(await password(await other.sign(claims(), { kid: `made up ${i}` })), UNKNOWN_TOKEN)
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
      refused(await password(await sign()), /several projects.*user name/)
      refused(await password(await sign(), ['repository:third/web:pull']), /No trust rule of "third"/)
      refused(
        await password(await sign(), ['repository:other/web:pull', 'repository:acme/web:pull']),
        /several projects/,
      )
      assert.equal(await by(['repository:third/web:pull', 'repository:acme/base:pull']), rule.id)
      assert.equal(principal(await exchange(await sign(), 'other')).keyId, theirs.id)
      assert.equal(principal(await exchange(await sign(), 'acme')).keyId, rule.id)
      refused(await exchange(await sign(), 'nobody'), /No trust rule of "nobody"/)
      for (const more of [theirs, pullOnly]) await stack.removeRule(more)
      await stack.settle(db)
    })

    it('are never drawn by another project that trusts the same repository', async () => {
      const foreign = await stack.createRule(otherId, ISSUER, { actions: ['pull'] })
      await stack.settle(db, await stack.updateRule(rule, { conditions: MAIN_ONLY }))
      const sign = () => issuer.key.sign(claims({ ref: 'refs/heads/x' }))
      const asked = ['repository:acme/web:pull,push']
      const named: [what: string, answer: Authentication][] = [
        ['by the user name', await password(await sign(), [], 'acme')],
        ['by a scope', await password(await sign(), asked)],
        ['by both', await password(await sign(), asked, 'acme')],
        ['by the audience', await exchange(await sign(), 'acme')],
        ['by a scope of an exchange', await exchange(await sign(), null, asked)],
        ['by the user name, with their scope', await password(await sign(), THEIRS, 'acme')],
      ]
      for (const [what, answer] of named) {
        assert.ok(!answer.ok && 'message' in answer, `drawn, named ${what}`)
        assert.doesNotMatch(JSON.stringify(answer), new RegExp(`${foreign.id}|${otherId}`), what)
      }
      refused(await password(await sign(), asked, 'other'), /No trust rule of "other"/)
      const nobody = await password(await sign(), ['repository:nobody/web:pull'])
      refused(nobody, /No trust rule of "nobody"/)
      await stack.removeRule(foreign)
    })

    it('may pull what is public of other projects under their own project’s name', async () => {
      await stack.settle(db, await stack.publish(otherId, ['web']))
      const own = await password(await issuer.key.sign(claims()), THEIRS, 'acme')
      assert.equal(principal(own).projectId, projectId)
      await stack.settle(db, await stack.publish(otherId, []))
      refused(await password(await issuer.key.sign(claims()), THEIRS, 'acme'), /No trust rule of "acme" fits/)
    })

    it('go on with the user name of the guides when a project has it as its namespace', async () => {
      await stack.createProject('ci')
      await stack.settle(db)
      assert.equal(principal(await password(await issuer.key.sign(claims()))).keyId, rule.id)
    })

    it('leave their refusals to the project that was named, and to nobody’s otherwise', async () => {
      const foreign = await stack.createRule(otherId, ISSUER, {
        conditions: { repository_id: '4711', ref: 'refs/heads/none' },
      })
      await stack.settle(db, await stack.updateRule(rule, { conditions: MAIN_ONLY }))
      const sign = () => issuer.key.sign(claims({ ref: 'refs/heads/x' }))
      const denialOf = async (username: string) => {
        const answer = await password(await sign(), [], username)
        assert.ok(!answer.ok && 'denial' in answer && answer.denial !== undefined, JSON.stringify(answer))
        return answer.denial
      }
      assert.equal((await denialOf('acme')).projectId, projectId)
      assert.equal((await denialOf('other')).projectId, otherId)
      const unnamed = await denialOf('ci')
      assert.equal(unnamed.projectId, null)
      assert.doesNotMatch(JSON.stringify(unnamed), new RegExp(`${foreign.id}|${rule.id}|another ref`))
      // The same of rules that fit and may not be used here.
      await stack.settle(db, await stack.updateRule(foreign, { ...ANY_REF, regions: ['elsewhere'] }))
      assert.equal((await denialOf('ci')).projectId, null)
      assert.equal((await denialOf('acme')).projectId, projectId)
      await stack.removeRule(foreign)
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

    it('are not taken by a rule that has ended since it was read', async () => {
      const claim = { id: 'late', mode: 'exchange' as const, run: 'r', expiresAt: Date.now() + 60_000 }
      const about = { projectId, nowMs: Date.now(), requestId: 'r', audit: { target: rule.id, detail: {} } }
      const guard = { keyId: rule.id, secretVersion: 1 }
      await stack.settle(db, await stack.updateRule(rule, { enabled: false }))
      const outcome = await db.run(claimCiToken, { ...claim, ...about, guard })
      assert.deepEqual(outcome, { ok: false, reason: 'revoked' })
      const query = db.reader.selectFrom('ci_token').select('id').where('id', '=', 'late')
      assert.deepEqual(await query.execute(), [])
    })

    it('are remembered until they have expired', async () => {
      const about = { projectId, requestId: 'r', audit: { target: rule.id, detail: {} } }
      const guard = { keyId: rule.id, secretVersion: 1 }
      const nowMs = Date.now()
      const claim = (id: string, at: number) =>
        db.run(claimCiToken, {
          ...about,
          guard,
          id,
          mode: 'exchange',
          run: 'r',
          nowMs: at,
          expiresAt: at + 1000,
        })
      assert.equal((await claim('a', nowMs)).ok, true)
      assert.deepEqual(await claim('a', nowMs + 1000), { ok: false, reason: 'replayed' })
      assert.equal((await claim('b', nowMs + 1001)).ok, true)
      const query = db.reader.selectFrom('ci_token').select('id').where('rule_id', '=', rule.id)
      assert.deepEqual(await query.execute(), [{ id: 'b' }])
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

    it('are taken while the control plane is down', async () => {
      const down = () => Promise.reject(new Error('the control plane is down'))
      const source = { ...stack.source, latestSeq: down, changesAfter: down, loadTrustRule: down }
      const cutOff = stack.openAccess(await stack.openRegion(), {
        source,
        fetchDocument: issuer.fetchDocument,
      })
      await cutOff.refresh()
      const authorization = basic(await issuer.key.sign(claims()), 'ci')
      assert.equal((await cutOff.authenticate({ authorization, clientAddress: CLIENT })).ok, true)
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
