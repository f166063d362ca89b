import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { problem } from '@berth/api/problem'
import { type Authenticator, createAuthenticator } from '../../../../test/support/console/authenticator.ts'
import type { Browser } from '../../../../test/support/console/browser.ts'
import { browserOf, setUpFirstPerson, signIn } from '../../../../test/support/console/people.ts'
import { openTestConsole, type TestConsole } from '../../../../test/support/console/stack.ts'
import { MAX_PASSKEYS } from './limits.ts'

const ORIGIN = 'http://console.example'
const PREFIX = '/api/auth/passkey'

let opened: TestConsole
let browser: Browser
let key: Authenticator

before(async () => {
  opened = await openTestConsole()
  browser = await setUpFirstPerson(opened)
  key = createAuthenticator({ origin: ORIGIN, rpId: 'console.example' })
})
after(() => opened.close())

async function post(from: Browser, path: string, body: object, headers: Record<string, string> = {}) {
  return from.fetch(`${PREFIX}/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin', ...headers },
    body: JSON.stringify(body),
  })
}

async function challengeOf(from: Browser, path: string): Promise<{ challenge: string }> {
  const response = await from.fetch(`${PREFIX}/${path}`)
  assert.equal(response.status, 200, await response.clone().text())
  return (await response.json()) as { challenge: string }
}

async function register(from: Browser, authenticator: Authenticator, name: string) {
  const options = await challengeOf(from, 'generate-register-options')
  return post(from, 'verify-registration', {
    response: authenticator.register(options),
    name,
    createSession: true,
  })
}

async function signInWith(authenticator: Authenticator, from = browserOf(opened)) {
  const options = await challengeOf(from, 'generate-authenticate-options')
  return {
    from,
    response: await post(from, 'verify-authentication', { response: authenticator.authenticate(options) }),
  }
}

test('a passkey is registered by a person who was confirmed lately, and signs them in', async () => {
  const before = new Map(browser.cookies)
  const registered = await register(browser, key, 'laptop')
  assert.equal(registered.status, 200, await registered.clone().text())
  assert.equal(
    browser.cookies.get('berth.session_token'),
    before.get('berth.session_token'),
    'no other session',
  )

  const { from, response } = await signInWith(key)
  assert.equal(response.status, 200, await response.clone().text())
  const answer = await response.text()
  assert.deepEqual(Object.keys(JSON.parse(answer) as object), ['user'])
  const token = decodeURIComponent(from.cookies.get('berth.session_token') ?? '').split('.')[0] ?? 'none'
  assert.equal(answer.includes(token), false)
  const me = (await (await from.fetch('/api/v1/whoami')).json()) as { principal: { email: string } }
  assert.equal(me.principal.email, 'ada@example.org')

  const list = (await (await from.fetch('/api/v1/passkeys')).json()) as {
    items: { name: string; id: string }[]
  }
  assert.deepEqual(
    list.items.map(({ name }) => name),
    ['laptop'],
  )
  const { items } = await opened.client.call('auditEvents.listAll', { query: { action: 'passkey' } })
  assert.deepEqual(
    items.map(({ action }) => action),
    ['passkey.create'],
  )
})

test('registering needs a session, and a confirmation', async () => {
  assert.equal((await browserOf(opened).fetch(`${PREFIX}/generate-register-options`)).status, 401)
  const stale = await signIn(opened)
  const options = await challengeOf(stale, 'generate-register-options')
  await opened.tamper('control', 'update user_session set confirmed_at = null')
  const refused = await stale.fetch(`${PREFIX}/generate-register-options`)
  assert.equal(problem.parse(await refused.json()).code, 'step_up_required')
  const other = createAuthenticator({ origin: ORIGIN, rpId: 'console.example' })
  const verify = await post(stale, 'verify-registration', { response: other.register(options) })
  assert.equal(problem.parse(await verify.json()).code, 'step_up_required')
})

test('what an authenticator must not do is refused', async () => {
  const cases: [string, Authenticator][] = [
    ['of another origin', createAuthenticator({ origin: 'https://evil.example', rpId: 'console.example' })],
    ['for another host', createAuthenticator({ origin: ORIGIN, rpId: 'evil.example' })],
    [
      'without PIN or fingerprint',
      createAuthenticator({ origin: ORIGIN, rpId: 'console.example', verifiesUser: false }),
    ],
  ]
  for (const [name, authenticator] of cases) {
    const refused = await register(await signIn(opened), authenticator, name)
    assert.ok(refused.status >= 400, name)
  }
  const rows = await opened.runtime.db.reader.selectFrom('user_passkey').selectAll().execute()
  assert.equal(rows.length, 1)
})

test('a passkey that nobody registered, a used challenge and another site do not sign in', async () => {
  const unknown = await signInWith(createAuthenticator({ origin: ORIGIN, rpId: 'console.example' }))
  assert.equal(unknown.response.status, 401)
  const from = browserOf(opened)
  const options = await challengeOf(from, 'generate-authenticate-options')
  const response = key.authenticate(options)
  assert.equal(
    (await post(from, 'verify-authentication', { response }, { 'sec-fetch-site': 'cross-site' })).status,
    403,
  )
  assert.equal((await post(from, 'verify-authentication', { response })).status, 200)
  const replayed = browserOf(opened)
  for (const [name, value] of from.cookies) if (name.includes('passkey')) replayed.cookies.set(name, value)
  assert.ok((await post(replayed, 'verify-authentication', { response })).status >= 400)
  const stolen = browserOf(opened)
  await challengeOf(stolen, 'generate-authenticate-options')
  assert.ok((await post(stolen, 'verify-authentication', { response })).status >= 400)
  const { items } = await opened.client.call('auditEvents.listAll', {
    query: { action: 'session.sign_in_failed' },
  })
  assert.ok(items.length >= 1)
})

test('a request that is no attempt leaves nothing in the audit log', async () => {
  const failures = async () => {
    const query = { action: 'session.sign_in_failed', limit: 500 }
    return (await opened.client.call('auditEvents.listAll', { query })).items.length
  }
  const before = await failures()
  assert.equal((await post(browserOf(opened), 'verify-authentication', {})).status, 400)
  assert.equal(await failures(), before)
})

test('a passkey has a name like other things, and a person has only so many', async () => {
  const own = await signIn(opened)
  const other = createAuthenticator({ origin: ORIGIN, rpId: 'console.example' })
  for (const name of ['x'.repeat(10_000), 'a\u200bb', '', 7]) {
    const refused = await register(own, other, name as string)
    assert.equal(problem.parse(await refused.json()).code, 'validation_failed', String(name).slice(0, 10))
  }
  const { user_id: userId } = await opened.runtime.db.reader
    .selectFrom('user_passkey')
    .select('user_id')
    .executeTakeFirstOrThrow()
  const options = await challengeOf(own, 'generate-register-options')
  await opened.tamper(
    'control',
    `insert into user_passkey (id, user_id, public_key, credential_id, counter, device_type, backed_up, created_at)
       with recursive n(i) as (select 1 union all select i + 1 from n where i < ${MAX_PASSKEYS - 1})
       select 'many-' || i, '${userId}', 'x', 'many-' || i, 0, 'x', 0, 1 from n`,
  )
  const full = await post(own, 'verify-registration', { response: other.register(options), name: 'more' })
  assert.equal(problem.parse(await full.json()).code, 'too_many_passkeys')
  await opened.tamper('control', "delete from user_passkey where id like 'many-%'")
})

test('a passkey that was deleted signs nobody in', async () => {
  const { from } = await signInWith(key)
  const list = (await (await from.fetch('/api/v1/passkeys')).json()) as { items: { id: string }[] }
  const deleted = await from.fetch(`/api/v1/passkeys/${list.items[0]?.id ?? ''}`, {
    method: 'DELETE',
    headers: { 'sec-fetch-site': 'same-origin' },
  })
  assert.equal(deleted.status, 200, await deleted.clone().text())
  assert.equal((await signInWith(key)).response.status, 401)
})
