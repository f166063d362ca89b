import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createClient } from '@berth/api/client'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import { OPERATIONS } from '@berth/api/operations'
import { keyWithSecret, mintKey } from '../../access/key.ts'
import type { Browser } from '../../../../test/support/console/browser.ts'
import {
  decideDevice,
  forgetPolls,
  logDeviceIn,
  pollDevice,
  startDevice,
} from '../../../../test/support/console/device.ts'
import { makeSession } from '../../../../test/support/console/members.ts'
import { browserOf, FIRST_PERSON, setUpFirstPerson, signIn } from '../../../../test/support/console/people.ts'
import type { TestConsole } from '../../../../test/support/console/stack.ts'
import { loadPersonByEmail } from '../../metastore/queries/person.ts'
import { MAX_CODE_ENTRIES_PER_MINUTE, SWEEP_ROWS } from './limits.ts'
import { createPeople } from './people.ts'

/** The device flow, sessions and personal access tokens: the same on every metadata database. */
export function describeAccount(name: string, open: () => Promise<TestConsole>): void {
  describe(`device login, sessions and tokens on ${name}`, () => {
    let opened: TestConsole
    let browser: Browser

    before(async () => {
      opened = await open()
      browser = await setUpFirstPerson(opened)
    })
    after(() => opened.close())

    const clientOf = (token: string) => createClient({ baseUrl: opened.baseUrl, token })

    function fails(code: ApiErrorCode): (error: unknown) => boolean {
      return (error) => {
        assert.ok(error instanceof ApiError, String(error))
        assert.equal(error.code, code)
        return true
      }
    }

    async function auditOf(action: string) {
      const { items } = await opened.client.call('auditEvents.listAll', { query: { action } })
      return items
    }

    test('a device is logged in once the person has approved it, and only once', async () => {
      const codes = await startDevice(opened)
      assert.match(codes.user_code, /^[A-Z2-9]{8}$/)
      assert.equal(codes.verification_uri, 'http://console.example/device')
      assert.equal(codes.interval, 5)
      assert.deepEqual(await pollDevice(opened, codes.device_code), {
        status: 400,
        error: 'authorization_pending',
        error_description: 'Authorization pending',
      })
      const page = await decideDevice(browser, codes, 'approve')
      assert.match(page, /berth-cli\/test/)
      assert.match(page, /127\.0\.0\.1/)
      assert.match(page, /everything that <strong>ada@example\.org<\/strong> may do/)
      await forgetPolls(opened)
      const granted = await pollDevice(opened, codes.device_code)
      assert.equal(granted.status, 200)
      const { principal } = await clientOf(granted.access_token ?? '').call('whoami', {})
      assert.ok(principal.kind === 'person')
      assert.deepEqual([principal.via, principal.email], ['session', 'ada@example.org'])
      assert.ok(principal.steppedUpUntil !== null)
      assert.equal((await pollDevice(opened, codes.device_code)).error, 'invalid_grant')
      assert.equal((await auditOf('device.approve')).length, 1)

      const rows = JSON.stringify([
        await opened.runtime.db.reader.selectFrom('user_session').selectAll().execute(),
        await auditOf('session'),
      ])
      for (const secret of [granted.access_token ?? 'none', codes.device_code, codes.user_code]) {
        assert.equal(rows.includes(secret) || opened.logged().includes(secret), false)
      }
    })

    test('the codes of a device are nowhere in clear', async () => {
      const codes = await startDevice(opened)
      const rows = JSON.stringify(
        await opened.runtime.db.reader.selectFrom('device_code').selectAll().execute(),
      )
      assert.equal(rows.includes(codes.device_code), false)
      assert.equal(rows.includes(codes.user_code), false)
    })

    test('a device that polls too often is told to slow down, and one that was denied that it is', async () => {
      const codes = await startDevice(opened)
      assert.equal((await pollDevice(opened, codes.device_code)).error, 'authorization_pending')
      assert.equal((await pollDevice(opened, codes.device_code)).error, 'slow_down')
      await decideDevice(browser, codes, 'deny')
      await forgetPolls(opened)
      assert.equal((await pollDevice(opened, codes.device_code)).error, 'access_denied')
      assert.equal((await auditOf('device.deny')).length, 1)
    })

    test('a code that has expired is worth nothing, on either side', async () => {
      const codes = await startDevice(opened)
      await opened.tamper('control', 'update device_code set expires_at = 1')
      const page = await browser.get(`/device?user_code=${codes.user_code}`)
      assert.equal(page.status, 404)
      assert.equal((await pollDevice(opened, codes.device_code)).error, 'expired_token')
    })

    test('a wrong code, client or grant is refused', async () => {
      const codes = await startDevice(opened)
      assert.equal((await pollDevice(opened, 'x'.repeat(40))).error, 'invalid_grant')
      assert.equal((await pollDevice(opened, '')).error, 'invalid_grant')
      const post = async (path: string, body: object) => {
        const headers = { 'content-type': 'application/json' }
        const url = `${opened.baseUrl}/api/auth/device/${path}`
        const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
        return [response.status, ((await response.json()) as { error?: string }).error]
      }
      assert.deepEqual(await post('code', { client_id: 'other' }), [400, 'invalid_client'])
      const grant = { grant_type: 'password', device_code: codes.device_code, client_id: 'berth' }
      assert.deepEqual(await post('token', grant), [400, 'unsupported_grant_type'])
    })

    test('approving takes a person, a fresh confirmation, and a form of the console', async () => {
      const codes = await startDevice(opened)
      const url = `/device?user_code=${codes.user_code}`
      const stranger = await browserOf(opened).get(url)
      assert.equal(stranger.location, `/sign-in?next=${encodeURIComponent(url)}`)
      const own = await signIn(opened)
      await opened.tamper('control', 'update user_session set confirmed_at = null')
      const confirm = await own.get(url)
      assert.equal(confirm.location, `/confirm?next=${encodeURIComponent(url)}`)
      await own.get(confirm.location ?? '')
      assert.equal((await own.submit({ password: FIRST_PERSON.password })).location, url)
      assert.equal((await own.get(url)).status, 200)
      const forged = await own.submit(
        { decision: 'approve' },
        { headers: { 'sec-fetch-site': 'cross-site' } },
      )
      assert.equal(forged.status, 403)
      await forgetPolls(opened)
      assert.equal((await pollDevice(opened, codes.device_code)).error, 'authorization_pending')
    })

    test('a person sees their own sessions, and can end them', async () => {
      const token = await logDeviceIn(opened, await signIn(opened))
      const cli = clientOf(token)
      const page = await cli.call('sessions.list', {})
      OPERATIONS['sessions.list'].response.parse(page)
      const current = page.items.find((session) => session.current)
      assert.deepEqual(
        [current?.kind, current?.method, current?.userAgent],
        ['device', 'device', 'berth-cli/test'],
      )
      assert.ok(page.items.some(({ kind, method }) => kind === 'browser' && method === 'password'))
      const two = await cli.call('sessions.list', { query: { limit: 2 } })
      const rest = await cli.call('sessions.list', { query: { limit: 500, cursor: two.nextCursor ?? '' } })
      assert.deepEqual([...two.items, ...rest.items], page.items)

      const other = await logDeviceIn(opened, await signIn(opened))
      const { items } = await clientOf(other).call('sessions.list', {})
      const id = items.find((session) => session.current)?.id ?? ''
      await cli.call('sessions.end', { params: { session: id } })
      await assert.rejects(clientOf(other).call('whoami', {}), fails('unauthenticated'))
      await assert.rejects(cli.call('sessions.end', { params: { session: id } }), fails('session_not_found'))

      assert.ok((await cli.call('sessions.endOthers', {})).ended >= 2)
      assert.equal((await cli.call('sessions.list', {})).items.length, 1)
      assert.equal((await browser.fetch('/api/v1/whoami')).status, 401)
      await cli.call('sessions.end', { params: { session: 'current' } })
      await assert.rejects(cli.call('whoami', {}), fails('unauthenticated'))
      assert.ok((await auditOf('session.end')).length >= 4)
    })

    test("another person's session, token or passkey does not exist", async () => {
      await opened.tamper(
        'control',
        `insert into user_account (id, name, email, email_verified, is_operator, created_at, updated_at)
           values ('eve', 'Eve', 'eve@example.org', 1, 0, 1, 1);
         insert into user_session (id, user_id, token_hmac, kind, method, created_at, updated_at, expires_at)
           values ('session-of-eve', 'eve', 'x', 'browser', 'password', 1, 1, 9999999999999);
         insert into user_passkey (id, user_id, public_key, credential_id, counter, device_type, backed_up, created_at)
           values ('passkey-of-eve', 'eve', 'x', 'x', 0, 'x', 0, 1)`,
      )
      const cli = clientOf(await logDeviceIn(opened, await signIn(opened)))
      for (const session of ['session-of-eve', 'nobody']) {
        await assert.rejects(cli.call('sessions.end', { params: { session } }), fails('session_not_found'))
      }
      for (const passkey of ['passkey-of-eve', 'nobody']) {
        await assert.rejects(cli.call('passkeys.delete', { params: { passkey } }), fails('passkey_not_found'))
      }
      assert.deepEqual((await cli.call('passkeys.list', {})).items, [])
    })

    test('a personal access token does what its person may, is shown once, and ends when revoked', async () => {
      const cli = clientOf(await logDeviceIn(opened, await signIn(opened)))
      const created = await cli.call('personalTokens.create', { body: { name: 'ci', allowSensitive: true } })
      OPERATIONS['personalTokens.create'].response.parse(created)
      assert.match(created.token, /^brth_p_[0-9a-z]{12}_[0-9A-Za-z]{49}$/)
      const own = clientOf(created.token)
      const { principal } = await own.call('whoami', {})
      assert.ok(principal.kind === 'person')
      assert.deepEqual([principal.via, principal.tokenId], ['token', created.id])
      await own.call('projects.create', { body: { name: 'By token' } })
      await assert.rejects(own.call('personalTokens.create', { body: { name: 'more' } }), fails('forbidden'))

      const [listed] = (await cli.call('personalTokens.list', {})).items
      assert.equal(listed?.name, 'ci')
      assert.ok(typeof listed?.lastUsedAt === 'string')
      const secret = created.token.split('_')[3] ?? ''
      const rows = await opened.runtime.db.reader.selectFrom('personal_token').selectAll().execute()
      for (const text of [JSON.stringify([listed, rows, await auditOf('personal_token')]), opened.logged()]) {
        assert.equal(text.includes(secret), false)
      }

      await cli.call('personalTokens.revoke', { params: { token: created.id } })
      await assert.rejects(own.call('whoami', {}), fails('unauthenticated'))
      const again = await cli.call('personalTokens.revoke', { params: { token: created.id } })
      assert.equal(again.state, 'revoked')
      assert.deepEqual((await cli.call('personalTokens.list', {})).items, [])
      assert.equal((await cli.call('personalTokens.list', { query: { state: 'all' } })).items.length, 1)
      assert.equal((await auditOf('personal_token.revoke')).length, 1)
      const unknown = { params: { token: 'nobody' } }
      await assert.rejects(cli.call('personalTokens.revoke', unknown), fails('personal_token_not_found'))
    })

    test('a token ends when it expires, and one with another secret was never any', async () => {
      const cli = clientOf(await logDeviceIn(opened, await signIn(opened)))
      const expiresAt = new Date(opened.runtime.clock.nowMs() + 60_000).toISOString()
      const created = await cli.call('personalTokens.create', { body: { name: 'short', expiresAt } })
      const forged = keyWithSecret('p', created.id).text
      await assert.rejects(clientOf(forged).call('whoami', {}), fails('unauthenticated'))
      await assert.rejects(clientOf(mintKey('p').text).call('whoami', {}), fails('unauthenticated'))
      assert.equal((await clientOf(created.token).call('whoami', {})).principal.kind, 'person')
      opened.advance(61_000)
      await assert.rejects(clientOf(created.token).call('whoami', {}), fails('unauthenticated'))
      const past = { body: { name: 'late', expiresAt: '2001-01-01T00:00:00Z' } }
      await assert.rejects(cli.call('personalTokens.create', past), fails('validation_failed'))
    })

    test('a session of the command line is confirmed by the page that the refusal names', async () => {
      const own = await signIn(opened)
      const cli = clientOf(await logDeviceIn(opened, own))
      const create = () => cli.call('personalTokens.create', { body: { name: 'later' } })
      await opened.tamper('control', 'update user_session set confirmed_at = null')
      const refusal = await create().then(
        () => '',
        (error: unknown) => (error instanceof ApiError ? error.detail : ''),
      )
      const path = /http:\/\/console\.example(\/confirm\?session=\S+)/.exec(refusal)?.[1] ?? ''
      const page = await own.get(path)
      assert.match(page.html, /berth-cli\/test/)
      const done = await own.submit({ password: FIRST_PERSON.password })
      assert.equal(done.status, 200, done.html)
      await create()
      assert.equal((await own.get('/confirm?session=session-of-eve')).status, 404)
    })

    /** A session of a command line without its device login, of which a minute allows only so many. */
    async function commandLine(): Promise<string> {
      const { reader } = opened.runtime.db
      const person = await loadPersonByEmail(reader, FIRST_PERSON.email)
      return makeSession(opened, { userId: person?.id ?? '' })
    }

    /** Until when the console says that a session counts as confirmed. */
    async function steppedUpUntil(token: string): Promise<string | null> {
      const { principal } = await clientOf(token).call('whoami', {})
      return principal.kind === 'person' ? principal.steppedUpUntil : null
    }

    test('a session that was confirmed lately vouches for others, but renews nothing', async () => {
      const own = await signIn(opened)
      const token = await commandLine()
      const confirmedAt = opened.runtime.clock.nowMs() - 300_000
      await opened.tamper('control', `update user_session set confirmed_at = ${confirmedAt}`)
      const until = await steppedUpUntil(token)
      const { items } = await clientOf(token).call('sessions.list', {})
      const id = items.find((session) => session.current)?.id ?? ''
      const vouch = async () => {
        await own.get(`/confirm?session=${id}`)
        assert.equal((await own.submit({})).status, 200)
      }
      await vouch()
      assert.equal(await steppedUpUntil(token), until)
      assert.equal(await steppedUpUntil(await logDeviceIn(opened, own)), until)
      await opened.tamper('control', `update user_session set confirmed_at = null where id = '${id}'`)
      await vouch()
      assert.equal(await steppedUpUntil(token), until)
      // What is known to be later stays.
      await opened.tamper(
        'control',
        `update user_session set confirmed_at = confirmed_at + 60000 where id = '${id}'`,
      )
      await vouch()
      const later = Date.parse((await steppedUpUntil(token)) ?? '')
      assert.equal(later - Date.parse(until ?? ''), 60_000)
    })

    test('the token of a command line opens no pages as a cookie', async () => {
      const token = await commandLine()
      const thief = browserOf(opened)
      thief.cookies.set('berth.session_token', `${token}.x`)
      assert.match((await thief.get('/confirm')).location ?? '', /^\/sign-in/)
      assert.equal((await thief.fetch('/api/v1/whoami')).status, 401)
    })

    test('ending the other sessions ends the device that was approved and has not come yet', async () => {
      const own = await signIn(opened)
      const cli = clientOf(await commandLine())
      const codes = await startDevice(opened)
      await decideDevice(own, codes, 'approve')
      await cli.call('sessions.endOthers', {})
      assert.equal((await pollDevice(opened, codes.device_code)).error, 'invalid_grant')
    })

    test('a token does sensitive things only when it was made for them, and some things never', async () => {
      const cli = clientOf(await commandLine())
      await cli.call('projects.create', { body: { name: 'Tokened', namespace: 'tokened' } })
      const make = (body: { name: string; allowSensitive?: boolean }) =>
        cli.call('personalTokens.create', { body })
      const plain = await make({ name: 'plain' })
      const sensitive = await make({ name: 'sensitive', allowSensitive: true })
      assert.deepEqual([plain.allowSensitive, sensitive.allowSensitive], [false, true])
      const invite = (token: string, operator: boolean) =>
        clientOf(token).call('installationInvitations.create', {
          body: { email: 'new@example.org', operator },
        })
      await assert.rejects(invite(plain.token, false), fails('step_up_required'))
      await invite(sensitive.token, false)
      await assert.rejects(invite(sensitive.token, true), fails('forbidden'))
      const owner = {
        params: { project: 'tokened' },
        body: { email: 'new@example.org', role: 'owner' as const },
      }
      const own = clientOf(sensitive.token)
      await assert.rejects(own.call('invitations.create', owner), fails('forbidden'))
      await cli.call('invitations.create', owner)
      const passkey = { params: { passkey: 'nobody' } }
      await assert.rejects(own.call('passkeys.delete', passkey), fails('forbidden'))
    })

    test('all that has expired is removed, however much there is', async () => {
      await opened.tamper(
        'control',
        `insert into user_verification (id, identifier, value, expires_at, created_at, updated_at)
           with recursive n(i) as (select 1 union all select i + 1 from n where i < ${2 * SWEEP_ROWS + 1})
           select 'expired-' || i, 'x', 'x', 1, 1, 1 from n`,
      )
      await createPeople(opened.runtime).sweep()
      const rows = await opened.runtime.db.reader
        .selectFrom('user_verification')
        .select('id')
        .where('expires_at', '=', 1)
        .execute()
      assert.equal(rows.length, 0)
    })

    test('a session that is used lives on, and one that is not ends', async () => {
      const cli = clientOf(await logDeviceIn(opened, await signIn(opened)))
      const idle = clientOf(await logDeviceIn(opened, await signIn(opened)))
      for (let days = 0; days < 40; days += 20) {
        opened.advance(20 * 24 * 3_600_000)
        await cli.call('whoami', {})
      }
      await assert.rejects(idle.call('whoami', {}), fails('unauthenticated'))
    })

    test('guessing codes is limited', async () => {
      const guesser = await signIn(opened)
      const statuses: number[] = []
      for (let i = 0; i <= MAX_CODE_ENTRIES_PER_MINUTE; i++) {
        statuses.push((await guesser.get(`/device?user_code=AAAAAAA${i % 9}`)).status)
      }
      assert.equal(statuses.at(-1), 429)
    })
  })
}
