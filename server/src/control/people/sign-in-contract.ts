import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { problem } from '@berth/api/problem'
import { API_PREFIX } from '@berth/api/operations'
import type { SubmitOptions } from '../../../../test/support/console/browser.ts'
import { browserOf, FIRST_PERSON, setUpFirstPerson, signIn } from '../../../../test/support/console/people.ts'
import { OPERATOR_TOKEN, SETUP_TOKEN, type TestConsole } from '../../../../test/support/console/stack.ts'
import { createConsole } from '../console.ts'
import { MAX_PASSWORD_FAILURES } from './limits.ts'

const WHOAMI = `${API_PREFIX}/whoami`

/** Setup, passwords, pages and sessions of a browser: the same on every metadata database. */
export function describeSignIn(name: string, open: () => Promise<TestConsole>): void {
  describe(`signing in on ${name}`, () => {
    let opened: TestConsole

    before(async () => {
      opened = await open()
    })
    after(() => opened.close())

    async function auditOf(action: string) {
      const { items } = await opened.client.call('auditEvents.listAll', { query: { action } })
      return items
    }

    /** Everything that the database holds about people, as text. */
    async function stored(): Promise<string> {
      const { reader } = opened.runtime.db
      const tables = [
        'user_account',
        'user_credential',
        'user_session',
        'device_code',
        'audit_event',
      ] as const
      const rows = await Promise.all(tables.map((table) => reader.selectFrom(table).selectAll().execute()))
      return JSON.stringify(rows)
    }

    test('the setup link makes the first operator once, and then says what to do', async () => {
      const browser = browserOf(opened)
      for (const wrong of ['/setup', '/setup?token=wrong', '/setup?token=a&token=b']) {
        assert.equal((await browser.get(wrong)).status, 403, wrong)
      }
      const url = `/setup?token=${SETUP_TOKEN}`
      // Looking at it uses nothing up: mail scanners and curious people do.
      assert.equal((await browser.get(url)).status, 200)
      const page = await browser.get(url)
      assert.equal(page.status, 200)
      assert.doesNotMatch(page.html, /<script/)
      assert.match(page.headers.get('content-security-policy') ?? '', /form-action 'self'/)

      const short = await browser.submit({ ...FIRST_PERSON, password: 'too short' })
      assert.equal(short.status, 422)
      assert.match(short.html, /Password: needs at least 12 characters/)
      assert.match(short.html, /value="ada@example\.org"/)
      assert.doesNotMatch(short.html, /too short/)

      const made = await browser.submit({ ...FIRST_PERSON, email: ' ADA@Example.org ' })
      assert.equal(made.status, 200, made.html)
      assert.match(made.html, /berth login http:\/\/console\.example/)
      assert.match(made.html, /docker login registry\.example -u api/)
      assert.doesNotMatch(made.html, new RegExp(`<script|${OPERATOR_TOKEN}|${SETUP_TOKEN}|brth_`))

      const me = (await (await browser.fetch(WHOAMI)).json()) as { principal: Record<string, unknown> }
      assert.equal(me.principal['email'], 'ada@example.org')
      assert.equal(me.principal['isOperator'], true)
      const again = await browser.get(url)
      assert.equal(again.status, 410)
      assert.match(again.html, /sign in/i)
      assert.equal((await auditOf('installation.setup')).length, 1)
      assert.equal((await auditOf('person.create')).length, 1)
    })

    test('a password signs in; a wrong one and an unknown address are told the same', async () => {
      const browser = await signIn(opened)
      const value = browser.cookies.get('berth.session_token') ?? ''
      assert.match((await browser.get('/account')).html, /Ada Lovelace/)

      const answers: string[] = []
      for (const email of [FIRST_PERSON.email, 'nobody@example.org']) {
        const other = browserOf(opened)
        await other.get('/sign-in')
        const answer = await other.submit({ email, password: 'not the right one' })
        assert.equal(answer.status, 401)
        assert.equal(
          [...other.cookies.keys()].some((key) => key.includes('session')),
          false,
        )
        answers.push(answer.html.replaceAll(email, '').replaceAll(/name="form" value="[^"]*"/g, ''))
      }
      assert.equal(answers[0], answers[1])
      const failed = await auditOf('session.sign_in_failed')
      assert.equal(failed.length, 2)
      assert.equal(failed.filter(({ target }) => target === 'unknown account').length, 1)

      const token = decodeURIComponent(value).split('.')[0] ?? ''
      assert.equal(token.length, 32)
      const kept = (await stored()) + opened.logged()
      for (const secret of [token, FIRST_PERSON.password, 'not the right one']) {
        assert.equal(kept.includes(secret), false)
      }
      assert.match(await stored(), /\$argon2id\$v=19\$m=47104,t=2,p=1\$/)
    })

    test('cookies of a console on TLS are bound to the host, and hidden from scripts', async () => {
      const runtime = { ...opened.runtime, consoleUrl: 'https://console.example' }
      const secure = await createConsole(runtime)
      const page = await secure.inject({ url: '/sign-in' })
      const form = /name="form" value="([^"]*)"/.exec(page.body)?.[1] ?? ''
      const cookie = page.cookies.map(({ name: key, value }) => `${key}=${value}`).join('; ')
      const { email, password } = FIRST_PERSON
      const signedIn = await secure.inject({
        method: 'POST',
        url: '/sign-in',
        headers: {
          cookie,
          'content-type': 'application/x-www-form-urlencoded',
          'sec-fetch-site': 'same-origin',
        },
        payload: new URLSearchParams({ form, email, password }).toString(),
      })
      assert.equal(signedIn.statusCode, 303, signedIn.body)
      const lines = [page, signedIn].flatMap(({ headers }) => headers['set-cookie'] ?? [])
      await secure.close()
      assert.ok(lines.length >= 2)
      for (const line of lines) {
        assert.match(line, /^__Host-berth\.(session_token|form)=/)
        assert.match(line, /; HttpOnly/i)
        assert.match(line, /; Secure/i)
        assert.match(line, /; SameSite=Lax/i)
        assert.match(line, /; Path=\//i)
        assert.doesNotMatch(line, /; Domain=/i)
      }
    })

    test('a form that no page of the console sent changes nothing', async () => {
      const browser = browserOf(opened)
      const good = { email: FIRST_PERSON.email, password: FIRST_PERSON.password }
      const forge = async (fields: Record<string, string>, options?: SubmitOptions) => {
        await browser.get('/sign-in')
        return browser.submit({ ...good, ...fields }, options)
      }
      const forged = [
        await forge({}, { without: ['form'] }),
        await forge({ form: 'x'.repeat(43) }),
        await forge({}, { headers: { 'sec-fetch-site': 'cross-site' } }),
        await forge({}, { headers: { 'sec-fetch-site': 'same-site' } }),
      ]
      await browser.get('/sign-in')
      browser.cookies.clear()
      forged.push(await browser.submit(good))
      for (const answer of forged) assert.equal(answer.status, 403)
      assert.equal(
        [...browser.cookies.keys()].some((key) => key.includes('session')),
        false,
      )
      await browser.get('/sign-in')
      assert.equal((await browser.submit(good)).status, 303)
    })

    test("a session's cookie does not work from another site", async () => {
      const browser = await signIn(opened)
      const create = (headers: Record<string, string>) =>
        browser.fetch(`${API_PREFIX}/projects`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body: JSON.stringify({ name: 'From a browser' }),
        })
      for (const headers of [
        { 'sec-fetch-site': 'cross-site' },
        { 'sec-fetch-site': 'same-site' },
        { origin: 'https://evil.example' },
        { origin: 'null' },
      ]) {
        const refused = await create(headers)
        assert.equal(refused.status, 403, JSON.stringify(headers))
        assert.equal(problem.parse(await refused.json()).code, 'forbidden')
      }
      assert.equal((await create({ 'sec-fetch-site': 'same-origin' })).status, 201)
    })

    test('after signing in the browser goes on at a path of the console, and nowhere else', async () => {
      const elsewhere = [
        'https://evil.example/',
        '//evil.example',
        '/\\evil.example',
        '/\t/evil.example',
        '/..//evil.example',
      ]
      for (const next of [...elsewhere, 'javascript:alert(1)']) {
        const browser = browserOf(opened)
        await browser.get(`/sign-in?next=${encodeURIComponent(next)}`)
        const { status, location } = await browser.submit({
          email: FIRST_PERSON.email,
          password: FIRST_PERSON.password,
          next,
        })
        assert.equal(status, 303)
        assert.equal(new URL(location ?? '', 'http://console.example').host, 'console.example', next)
        assert.doesNotMatch(location ?? '', /^\/\//)
      }
      const browser = browserOf(opened)
      await browser.get('/device?user_code=ABCDEFGH')
      const first = await browser.get('/device?user_code=ABCDEFGH')
      assert.equal(first.status, 303)
      await browser.get(first.location ?? '')
      const { location } = await browser.submit({
        email: FIRST_PERSON.email,
        password: FIRST_PERSON.password,
      })
      assert.equal(location, '/device?user_code=ABCDEFGH')
    })

    test('signing in again ends the session before, and signing out ends it on the server', async () => {
      const browser = await signIn(opened)
      const before = new Map(browser.cookies)
      await browser.get('/account')
      assert.equal((await browser.submit({}, { action: '/sign-out' })).status, 303)
      assert.equal(
        [...browser.cookies.keys()].some((key) => key.includes('session')),
        false,
      )
      for (const [key, value] of before) browser.cookies.set(key, value)
      assert.equal((await browser.fetch(WHOAMI)).status, 401)
      assert.equal((await browser.get('/account')).location, '/sign-in?next=%2Faccount')
    })

    test('wrong passwords are limited for the address that fails, and others still get in', async () => {
      const attempt = async (remoteAddress: string, password: string) => {
        const page = await opened.app.inject({ url: '/sign-in', remoteAddress })
        const cookie = page.cookies.map(({ name: key, value }) => `${key}=${value}`).join('; ')
        const form = /name="form" value="([^"]*)"/.exec(page.body)?.[1] ?? ''
        const fields = { form, next: '/', email: FIRST_PERSON.email, password }
        const answer = await opened.app.inject({
          method: 'POST',
          url: '/sign-in',
          remoteAddress,
          headers: {
            cookie,
            'content-type': 'application/x-www-form-urlencoded',
            'sec-fetch-site': 'same-origin',
          },
          payload: new URLSearchParams(fields).toString(),
        })
        return answer.statusCode
      }
      const failing = '198.51.100.7'
      const all = await Promise.all(
        Array.from({ length: MAX_PASSWORD_FAILURES + 3 }, () => attempt(failing, 'wrong wrong wrong')),
      )
      assert.equal(all.filter((status) => status === 401).length, MAX_PASSWORD_FAILURES)
      assert.equal(all.filter((status) => status === 429).length, 3)
      assert.equal(await attempt(failing, FIRST_PERSON.password), 429)
      assert.equal(await attempt('198.51.100.8', FIRST_PERSON.password), 303)
    })

    test('what is sensitive needs a confirmation of the last minutes, in this session', async () => {
      const browser = await signIn(opened)
      const create = () =>
        browser.fetch(`${API_PREFIX}/personal-tokens`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' },
          body: JSON.stringify({ name: 'laptop' }),
        })
      assert.equal((await create()).status, 201)
      opened.advance(10 * 60_000 + 1)
      const refused = await create()
      assert.equal(refused.status, 403)
      const { code, detail } = problem.parse(await refused.json())
      assert.equal(code, 'step_up_required')
      assert.match(detail, /http:\/\/console\.example\/confirm/)

      await browser.get('/confirm?next=%2Faccount')
      const wrong = await browser.submit({ password: 'not my password' })
      assert.equal(wrong.status, 401)
      assert.equal((await create()).status, 403)
      const confirmed = await browser.submit({ password: FIRST_PERSON.password })
      assert.deepEqual([confirmed.status, confirmed.location], [303, '/account'])
      assert.equal((await create()).status, 201)
      assert.equal((await auditOf('session.confirm')).length, 1)
    })

    test('the sign-in library has no other path than those that are listed', async () => {
      const paths = [
        ['GET', '/api/auth/get-session'],
        ['POST', '/api/auth/sign-up/email'],
        ['POST', '/api/auth/sign-in/email'],
        ['POST', '/api/auth/sign-in/social'],
        ['POST', '/api/auth/update-user'],
        ['POST', '/api/auth/change-email'],
        ['POST', '/api/auth/delete-user'],
        ['GET', '/api/auth/list-sessions'],
        ['POST', '/api/auth/device/approve'],
        ['GET', '/api/auth/device'],
        ['POST', '/api/auth/passkey/delete-passkey'],
        ['GET', '/api/auth/callback/other'],
        ['GET', '/api/auth/ok'],
        ['GET', '/api/auth/error'],
      ] as const
      const browser = await signIn(opened)
      for (const [method, path] of paths) {
        const headers = { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' }
        const answer = await browser.fetch(path, method === 'GET' ? {} : { method, headers, body: '{}' })
        assert.equal(answer.status, 404, path)
      }
      assert.equal((await browser.get('/api/auth/callback/sso?code=a&state=b')).status, 404)
    })

    test('the first person is made once, however many send the form', async () => {
      const other = await open()
      try {
        const browsers = await Promise.allSettled([1, 2, 3].map(() => setUpFirstPerson(other)))
        assert.equal(browsers.filter(({ status }) => status === 'fulfilled').length, 1)
        const people = await other.runtime.db.reader.selectFrom('user_account').selectAll().execute()
        assert.equal(people.length, 1)
      } finally {
        await other.close()
      }
    })
  })
}
