import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createClient } from '@berth/api/client'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import { OPERATIONS } from '@berth/api/operations'
import { createAuthenticator } from '../../../../test/support/console/authenticator.ts'
import {
  decideDevice,
  forgetPolls,
  pollDevice,
  startDevice,
} from '../../../../test/support/console/device.ts'
import {
  addMember,
  addPerson,
  callAs,
  makeSession,
  makeToken,
} from '../../../../test/support/console/members.ts'
import { browserOf, FIRST_PERSON, setUpFirstPerson, signIn } from '../../../../test/support/console/people.ts'
import type { TestConsole } from '../../../../test/support/console/stack.ts'
import type { PersonPrincipal } from '../principal.ts'
import { MAX_PASSWORD_FAILURES } from './limits.ts'

const DAY_MS = 24 * 3_600_000
const NEW_PASSWORD = 'a sentence that nobody says'

/** Lists of people, disabled accounts, operators and new passwords: the same on every metadata database. */
export function describeUpkeep(name: string, open: () => Promise<TestConsole>): void {
  describe(`the upkeep of people on ${name}`, () => {
    let opened: TestConsole
    let adaId: string

    before(async () => {
      opened = await open()
      await setUpFirstPerson(opened)
      adaId = (await list())[0]?.id ?? ''
    })
    after(() => opened.close())

    const clientOf = (token: string) => createClient({ baseUrl: opened.baseUrl, token })
    const list = async () => (await opened.client.call('people.list', { query: { limit: 500 } })).items
    const find = async (id: string) => (await list()).find((person) => person.id === id)

    function update(user: string, body: { readonly isOperator?: boolean; readonly disabled?: boolean }) {
      return opened.client.call('people.update', { params: { user }, body })
    }

    function fails(code: ApiErrorCode): (error: unknown) => boolean {
      return (error) => {
        assert.ok(error instanceof ApiError, String(error))
        assert.equal(error.code, code, error.detail)
        return true
      }
    }

    async function auditOf(action: string, target: string) {
      const { items } = await opened.client.call('auditEvents.listAll', { query: { action, limit: 500 } })
      return items.filter((event) => event.target === target)
    }

    /** A new person who set a password by a link. */
    async function addWithPassword(who: string): Promise<PersonPrincipal & { password: string }> {
      const person = await addPerson(opened, who)
      await setByLink(await linkOf(person.userId), NEW_PASSWORD)
      return { ...person, password: NEW_PASSWORD }
    }

    async function linkOf(user: string): Promise<string> {
      const made = await opened.client.call('people.resetPassword', { params: { user } })
      return made.link.replace('http://console.example', '')
    }

    async function setByLink(path: string, password: string, browser = browserOf(opened)) {
      await browser.get(path)
      return browser.submit({ password }, { action: '/password-reset' })
    }

    test('people are listed in pages, with how and when they signed in', async () => {
      const before = (await list()).length
      const people = [await addPerson(opened, 'Lea'), await addPerson(opened, 'Leo')]
      await makeSession(opened, people[0] as PersonPrincipal)
      const all = await list()
      assert.equal(all.length, before + 2)
      const seen: string[] = []
      let cursor: string | null = ''
      while (cursor !== null) {
        const query: { limit: number; cursor?: string } = { limit: 1, ...(cursor === '' ? {} : { cursor }) }
        const page = await opened.client.call('people.list', { query })
        OPERATIONS['people.list'].response.parse(page)
        seen.push(...page.items.map(({ id }) => id))
        cursor = page.nextCursor
      }
      assert.deepEqual(
        seen,
        all.map(({ id }) => id),
      )
      const [ada] = all
      assert.deepEqual(
        [ada?.email, ada?.isOperator, ada?.disabled, ada?.methods],
        [FIRST_PERSON.email, true, false, ['password']],
      )
      assert.ok(typeof ada?.lastSignInAt === 'string')
      const signedIn = people.map(({ userId }) => all.find(({ id }) => id === userId)?.lastSignInAt)
      assert.deepEqual([typeof signedIn[0], signedIn[1]], ['string', null])
    })

    test('the last operator who can act is neither demoted nor disabled', async () => {
      for (const body of [{ isOperator: false }, { disabled: true }]) {
        await assert.rejects(update(adaId, body), fails('last_operator'))
      }
      const otto = await addPerson(opened, 'Otto', { isOperator: true })
      await update(otto.userId, { disabled: true })
      // Another one who is disabled is none.
      await assert.rejects(update(adaId, { isOperator: false }), fails('last_operator'))
      await update(otto.userId, { disabled: false })
      const demoted = await update(otto.userId, { isOperator: false })
      OPERATIONS['people.update'].response.parse(demoted)
      assert.equal(demoted.isOperator, false)
      assert.equal((await auditOf('person.update', otto.userId)).length, 3)
      await update(otto.userId, { isOperator: false })
      assert.equal((await auditOf('person.update', otto.userId)).length, 3)
      await assert.rejects(update('nobody', { isOperator: true }), fails('person_not_found'))
    })

    test('of two operators who demote each other at the same time one stays', async () => {
      const oona = await addPerson(opened, 'Oona')
      await update(oona.userId, { isOperator: true })
      const outcomes = await Promise.allSettled([
        update(adaId, { isOperator: false }),
        update(oona.userId, { disabled: true }),
      ])
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
      await update(adaId, { isOperator: true })
      await update(oona.userId, { isOperator: false, disabled: false })
    })

    test('whoever is demoted is no operator from the next call on', async () => {
      const otis = await addPerson(opened, 'Otis')
      await update(otis.userId, { isOperator: true })
      const client = clientOf(await makeSession(opened, otis))
      await client.call('people.list', {})
      await update(otis.userId, { isOperator: false })
      await assert.rejects(client.call('people.list', {}), fails('forbidden'))
    })

    test('no personal access token makes operators or owners, or gives somebody a new password', async () => {
      const [ola, mate] = [await addPerson(opened, 'Ola'), await addPerson(opened, 'Mate')]
      await update(ola.userId, { isOperator: true })
      await opened.client.call('projects.create', { body: { name: 'Dock', namespace: 'dock' } })
      await addMember(opened, 'dock', mate, 'developer')
      const client = clientOf(await makeToken(opened, ola))
      const params = { user: mate.userId }
      await client.call('people.list', {})
      await assert.rejects(
        client.call('people.update', { params, body: { isOperator: true } }),
        fails('forbidden'),
      )
      await assert.rejects(client.call('people.resetPassword', { params }), fails('forbidden'))
      const member = { params: { project: 'dock', ...params }, body: { role: 'owner' as const } }
      await assert.rejects(client.call('members.update', member), fails('forbidden'))
      await update(ola.userId, { isOperator: false })
    })

    test('disabling ends sessions, tokens and keys of the person, and nothing of it comes back', async () => {
      const dora = await addWithPassword('Dora')
      await opened.client.call('projects.create', { body: { name: 'Den', namespace: 'den' } })
      await addMember(opened, 'den', dora, 'developer')
      const [session, token] = [await makeSession(opened, dora), await makeToken(opened, dora)]
      const params = { project: 'den' }
      const own = await callAs(opened, dora, 'apiKeys.create', { params, body: { name: 'mine' } })
      const shared = await opened.client.call('apiKeys.create', { params, body: { name: 'ours' } })
      const open = await linkOf(dora.userId)

      const disabled = await update(dora.userId, { disabled: true })
      assert.deepEqual([disabled.disabled, disabled.revokedKeys], [true, [own.id]])
      assert.deepEqual(disabled.propagation?.pendingRegions, [])
      const repeated = await update(dora.userId, { disabled: true })
      assert.deepEqual([repeated.revokedKeys, repeated.propagation?.pendingRegions], [[], []])
      assert.equal((await auditOf('person.update', dora.userId)).length, 1)

      const stateOf = async (key: string) =>
        (await opened.client.call('apiKeys.show', { params: { ...params, key } })).state
      for (const after of ['disabled', 'enabled again']) {
        for (const credential of [session, token]) {
          await assert.rejects(clientOf(credential).call('whoami', {}), fails('unauthenticated'), after)
        }
        assert.deepEqual([await stateOf(own.id), await stateOf(shared.id)], ['revoked', 'active'])
        assert.equal((await browserOf(opened).get(open)).status, 404)
        await update(dora.userId, { disabled: false })
      }
      await signIn(opened, dora)
    })

    test('who is disabled cannot sign in with a password, a passkey or a device, nor get a link, a token or a key', async () => {
      const dana = await addWithPassword('Dana')
      await opened.client.call('projects.create', { body: { name: 'Dam', namespace: 'dam' } })
      await addMember(opened, 'dam', dana, 'developer')
      const browser = await signIn(opened, dana)
      const key = createAuthenticator({ origin: 'http://console.example', rpId: 'console.example' })
      const passkey = async (
        from: typeof browser,
        step: string,
        answer: string,
        make: typeof key.register,
      ) => {
        const options = (await (await from.fetch(`/api/auth/passkey/${step}`)).json()) as {
          challenge: string
        }
        return from.fetch(`/api/auth/passkey/${answer}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' },
          body: JSON.stringify({ response: make(options), name: 'laptop' }),
        })
      }
      const register = ['generate-register-options', 'verify-registration', key.register] as const
      const enter = ['generate-authenticate-options', 'verify-authentication', key.authenticate] as const
      assert.equal((await passkey(browser, ...register)).status, 200)
      assert.equal((await passkey(browserOf(opened), ...(enter as unknown as typeof register))).status, 200)
      assert.deepEqual((await find(dana.userId))?.methods, ['password', 'passkey'])
      const codes = await startDevice(opened)
      await decideDevice(browser, codes, 'approve')

      await update(dana.userId, { disabled: true })
      const from = browserOf(opened)
      assert.ok((await passkey(from, ...(enter as unknown as typeof register))).status >= 400)
      await from.get('/sign-in')
      const refused = await from.submit({ email: dana.email, password: dana.password })
      assert.equal(refused.status, 403)
      assert.match(refused.html, /account is disabled/)
      await from.get('/sign-in')
      const wrong = await from.submit({ email: dana.email, password: 'not the right one' })
      assert.equal(wrong.status, 401)
      assert.doesNotMatch(wrong.html, /disabled/)
      assert.equal(
        [...from.cookies.keys()].some((cookie) => cookie.includes('session')),
        false,
      )
      await forgetPolls(opened)
      assert.equal((await pollDevice(opened, codes.device_code)).status, 400)
      await assert.rejects(linkOf(dana.userId), fails('person_disabled'))
      // Calls that were let in before, and go on now.
      await assert.rejects(
        callAs(opened, dana, 'personalTokens.create', { body: { name: 'late' } }),
        fails('unauthenticated'),
      )
      const late = { params: { project: 'dam' }, body: { name: 'late' } }
      await assert.rejects(callAs(opened, dana, 'apiKeys.create', late), ApiError)
      const sessions = await opened.runtime.db.reader
        .selectFrom('user_session')
        .select('id')
        .where('user_id', '=', dana.userId)
        .execute()
      assert.deepEqual(sessions, [])
    })

    test('a link sets a password once, ends all sessions, and is nowhere in clear', async () => {
      const nils = await addPerson(opened, 'Nils')
      const session = await makeSession(opened, nils)
      const first = await linkOf(nils.userId)
      const made = await opened.client.call('people.resetPassword', { params: { user: nils.userId } })
      OPERATIONS['people.resetPassword'].response.parse(made)
      const leftMs = Date.parse(made.expiresAt) - opened.runtime.clock.nowMs()
      assert.ok(leftMs <= DAY_MS && leftMs > DAY_MS - 60_000, String(leftMs))
      const path = made.link.replace('http://console.example', '')
      const browser = browserOf(opened)
      assert.equal((await browser.get(first)).status, 404, 'an earlier link ends')
      for (let i = 0; i < 2; i++) assert.equal((await browser.get(path)).status, 200)
      const short = await setByLink(path, 'too short', browser)
      assert.equal(short.status, 422)
      assert.match(short.html, /Password: needs at least 12 characters/)
      assert.equal((await clientOf(session).call('whoami', {})).principal.kind, 'person')

      // Guessing before, as people do who forgot it, does not keep them out afterwards.
      for (let i = 0; i < MAX_PASSWORD_FAILURES; i++) {
        await browser.get('/sign-in')
        await browser.submit({ email: nils.email, password: 'what was it again' })
      }
      const done = await setByLink(path, NEW_PASSWORD, browser)
      assert.equal(done.status, 200, done.html)
      await assert.rejects(clientOf(session).call('whoami', {}), fails('unauthenticated'))
      assert.equal((await browser.get(path)).status, 404)
      await signIn(opened, { email: nils.email, password: NEW_PASSWORD })
      assert.equal((await auditOf('person.password_reset_created', nils.userId)).length, 2)
      const [changed] = await auditOf('person.password_changed', nils.userId)
      assert.deepEqual([changed?.actor, changed?.detail['by']], [`person:${nils.userId}`, 'reset'])
      const token = path.split('token=')[1] ?? 'none'
      assert.equal(opened.logged().includes(token), false)
    })

    test('of two who use a link at the same time one sets the password', async () => {
      const nora = await addPerson(opened, 'Nora')
      const path = await linkOf(nora.userId)
      const answers = await Promise.all(
        ['one', 'two'].map((word) => setByLink(path, `${NEW_PASSWORD} ${word}`)),
      )
      assert.deepEqual(
        answers.map(({ status }) => status).sort((a, b) => a - b),
        [200, 404],
      )
      assert.equal((await auditOf('person.password_changed', nora.userId)).length, 1)
    })

    test('a link ends after a day, keeps the session of its own browser, and is one of this console', async () => {
      const nell = await addWithPassword('Nell')
      const stale = await linkOf(nell.userId)
      opened.advance(DAY_MS)
      assert.equal((await browserOf(opened).get(stale)).status, 404)
      assert.equal((await browserOf(opened).get('/password-reset?token=berth-password-none')).status, 404)
      const [own, other] = [await signIn(opened, nell), await signIn(opened, nell)]
      const path = await linkOf(nell.userId)
      await own.get(path)
      const forged = await own.submit(
        { password: NEW_PASSWORD },
        { headers: { 'sec-fetch-site': 'cross-site' } },
      )
      assert.equal(forged.status, 403)
      assert.equal((await setByLink(path, NEW_PASSWORD, own)).status, 200)
      assert.equal((await own.get('/account')).status, 200)
      assert.equal((await other.get('/account')).status, 303)
    })

    test('a person changes their password with the old one, which ends other sessions and links', async () => {
      const cora = await addWithPassword('Cora')
      const [own, other] = [await signIn(opened, cora), await signIn(opened, cora)]
      const link = await linkOf(cora.userId)
      const change = async (fields: Record<string, string>) => {
        await own.get('/account')
        return own.submit(fields, { action: '/account' })
      }
      const password = `${NEW_PASSWORD} twice`
      const wrong = await change({ current: 'not the right one', password })
      assert.equal(wrong.status, 401)
      assert.match(wrong.html, /present password is not right/)
      assert.equal((await change({ current: NEW_PASSWORD, password: 'short' })).status, 422)
      assert.equal((await other.get('/account')).status, 200)
      const done = await change({ current: NEW_PASSWORD, password })
      assert.equal(done.status, 200)
      assert.match(done.html, /Your password is changed/)
      assert.equal((await own.get('/account')).status, 200)
      assert.equal((await other.get('/account')).status, 303)
      assert.equal((await browserOf(opened).get(link)).status, 404)
      await signIn(opened, { email: cora.email, password })
      const old = browserOf(opened)
      await old.get('/sign-in')
      assert.equal((await old.submit({ email: cora.email, password: NEW_PASSWORD })).status, 401)
      assert.equal((await auditOf('person.password_changed', cora.userId)).length, 2)
    })
  })
}
