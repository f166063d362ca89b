import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { problem } from '@berth/api/problem'
import { openBrowser, type Browser } from '../../../../test/support/console/browser.ts'
import { browserOf, FIRST_PERSON, setUpFirstPerson, signIn } from '../../../../test/support/console/people.ts'
import { openTestConsole, type TestConsole } from '../../../../test/support/console/stack.ts'
import { type SignOnProvider, startSignOnProvider } from '../../../../test/support/servers/sign-on.ts'
import { loadPerson } from '../../metastore/queries/person.ts'
import { acceptAsNewcomer } from '../invitations/service.ts'
import { CONFIRMATION_MS } from './limits.ts'

const CONSOLE = 'http://console.example'
const ADA = { sub: 'ada-1', email: FIRST_PERSON.email, emailVerified: true, name: 'Ada from there' }
const GRACE = { sub: 'grace-1', email: 'grace@example.org', emailVerified: true, name: 'Grace Hopper' }

let provider: SignOnProvider
let opened: TestConsole

before(async () => {
  provider = await startSignOnProvider(`${CONSOLE}/api/auth/callback/sso`)
  opened = await openTestConsole({
    sso: {
      issuer: provider.issuer,
      clientId: provider.clientId,
      clientSecret: provider.clientSecret,
      name: 'Example SSO',
      domains: ['example.org'],
    },
  })
  await setUpFirstPerson(opened)
})
after(async () => {
  await opened.close()
  await provider.stop()
})
beforeEach(() => {
  provider.person = GRACE
  provider.signedInSecondsAgo = 0
})

interface Visit {
  readonly browser: Browser
  /** Where the console sent the browser in the end. */
  readonly location: string
}

/** Starts at the console, goes through the provider, and comes back. */
async function visit(
  path = '/sign-in/sso?next=%2Faccount',
  browser = browserOf(opened),
  there = openBrowser(provider.issuer, provider.issuer),
): Promise<Visit> {
  const start = await browser.get(path)
  assert.equal(start.status, 303, start.html)
  let next = start.location ?? ''
  for (let hops = 0; !next.startsWith(CONSOLE); hops++) {
    assert.ok(hops < 10, next)
    const answer = await there.get(next)
    assert.ok(answer.location !== null, answer.html)
    next = new URL(answer.location, next).href
  }
  const back = new URL(next)
  const answer = await browser.get(back.pathname + back.search)
  return { browser, location: answer.location ?? '' }
}

async function me(browser: Browser): Promise<Record<string, unknown> | null> {
  const response = await browser.fetch('/api/v1/whoami')
  return response.ok ? ((await response.json()) as { principal: Record<string, unknown> }).principal : null
}

test('somebody of the domain gets an account by signing in, with PKCE and a nonce', async () => {
  assert.match((await browserOf(opened).get('/sign-in')).html, /Continue with Example SSO/)
  const { browser, location } = await visit()
  assert.equal(location, '/account')
  const asked = provider.requests.at(-1)
  assert.equal(asked?.get('code_challenge_method'), 'S256')
  assert.ok((asked?.get('nonce') ?? '').length >= 16)
  assert.equal(asked?.get('redirect_uri'), `${CONSOLE}/api/auth/callback/sso`)
  const principal = await me(browser)
  assert.deepEqual(
    [principal?.['email'], principal?.['name'], principal?.['isOperator']],
    ['grace@example.org', 'Grace Hopper', false],
  )
  const again = await visit()
  assert.equal((await me(again.browser))?.['id'], principal?.['id'])
  const { items } = await opened.client.call('auditEvents.listAll', { query: { action: 'session.sign_in' } })
  assert.equal(items.filter(({ detail }) => detail['method'] === 'sso').length, 2)
})

test('a person is the issuer with their subject, whatever becomes of the address', async () => {
  const { browser } = await visit()
  const id = (await me(browser))?.['id']
  provider.person = { ...GRACE, email: 'grace.hopper@example.org' }
  assert.equal((await me((await visit()).browser))?.['id'], id)
  const rows = await opened.runtime.db.reader
    .selectFrom('user_credential')
    .selectAll()
    .where('provider_id', '=', 'sso')
    .execute()
  assert.deepEqual(
    rows.map(({ account_id, user_id }) => [account_id, user_id]),
    [[`${provider.issuer}#grace-1`, id]],
  )
  // Another subject that was given the address since does not become this person.
  provider.person = { ...GRACE, sub: 'mallory' }
  const refused = await visit()
  assert.match(refused.location, /error=/)
  assert.equal(await me(refused.browser), null)
})

test('an account that has a password is connected by its verified address, once', async () => {
  provider.person = ADA
  const { browser } = await visit()
  const principal = await me(browser)
  assert.deepEqual([principal?.['email'], principal?.['isOperator']], [FIRST_PERSON.email, true])
  assert.equal((await me(await signIn(opened)))?.['id'], principal?.['id'])
  const { items } = await opened.client.call('auditEvents.listAll', { query: { action: 'person.link' } })
  assert.ok(items.some(({ target }) => target === principal?.['id']))
})

test('an address that is not verified, another domain and a cancelled sign-in do not get in', async () => {
  const cases = [
    [{ ...GRACE, sub: 'new', email: 'new@example.org', emailVerified: false }, /not verified/],
    [{ ...ADA, sub: 'impostor', emailVerified: false }, /could not be connected/],
    [{ ...GRACE, sub: 'other', email: 'eve@evil.example' }, /not in a domain/],
    [{ ...GRACE, sub: 'suffix', email: 'eve@notexample.org' }, /not in a domain/],
    [null, /cancelled/],
  ] as const
  for (const [person, message] of cases) {
    provider.person = person
    const { browser, location } = await visit()
    assert.match(location, /^\/sign-in\?/)
    assert.match((await browser.get(location)).html, message)
    assert.equal(await me(browser), null)
  }
})

test('whom the issuer knows by an address gets it from an account that never showed that it is its own', async () => {
  const email = 'Hedy@example.org'
  const squatter = await squat(email)
  provider.person = { sub: 'eve', email: 'hedy@evil.example', emailVerified: true, name: 'Eve' }
  await visit()
  provider.person = { sub: 'eve', email, emailVerified: false, name: 'Eve' }
  await visit()
  assert.equal((await loadPerson(opened.runtime.db.reader, squatter))?.email, 'hedy@example.org')
  provider.person = { sub: 'hedy', email, emailVerified: true, name: 'Hedy Lamarr' }
  const principal = await me((await visit()).browser)
  assert.deepEqual([principal?.['email'], principal?.['name']], ['hedy@example.org', 'Hedy Lamarr'])
  assert.notEqual(principal?.['id'], squatter)
  const row = await loadPerson(opened.runtime.db.reader, squatter)
  assert.equal(row?.email, `${squatter}~displaced@invalid`)
  const { items } = await opened.client.call('auditEvents.listAll', { query: { action: 'person.displaced' } })
  assert.deepEqual(
    items.map(({ actor, target, detail }) => [actor, target, detail]),
    [['system', squatter, { email: 'hedy@example.org', because: 'sso' }]],
  )
})

test('who is disabled does not come back as somebody else by single sign-on', async () => {
  const user = await squat('ina@example.org')
  await opened.client.call('people.update', { params: { user }, body: { disabled: true } })
  provider.person = { sub: 'ina', email: 'ina@example.org', emailVerified: true, name: 'Ina' }
  assert.equal(await me((await visit()).browser), null)
  assert.equal((await loadPerson(opened.runtime.db.reader, user))?.email, 'ina@example.org')
})

test('who has an account already takes no address by having it at the issuer', async () => {
  provider.person = { sub: 'joan', email: 'joan@example.org', emailVerified: true, name: 'Joan' }
  const id = (await me((await visit()).browser))?.['id']
  const squatter = await squat('joan2@example.org')
  provider.person = { ...provider.person, email: 'joan2@example.org' }
  assert.equal((await me((await visit()).browser))?.['id'], id)
  assert.equal((await loadPerson(opened.runtime.db.reader, squatter))?.email, 'joan2@example.org')
})

/** An account that was made through an invitation to a project: nobody has shown whose address it is. */
async function squat(email: string): Promise<string> {
  const namespace = `of-${email.split('@', 1)[0]?.toLowerCase() ?? ''}`
  await opened.client.call('projects.create', { body: { name: namespace, namespace } })
  const params = { project: namespace }
  const { token } = await opened.client.call('invitations.create', {
    params,
    body: { email, role: 'viewer' },
  })
  const newcomer = { name: 'Squatter', passwordHash: 'no password fits' }
  return (await acceptAsNewcomer(opened.runtime, token, newcomer, { requestId: 'r' })).userId
}

test('a callback that the browser did not start, or that comes twice, does not sign in', async () => {
  const { browser } = await visit()
  assert.notEqual(await me(browser), null)
  const victim = browserOf(opened)
  const start = await browserOf(opened).get('/sign-in/sso')
  let next = start.location ?? ''
  const there = openBrowser(provider.issuer, provider.issuer)
  while (!next.startsWith(CONSOLE)) next = new URL((await there.get(next)).location ?? '', next).href
  const back = new URL(next)
  // The attacker's own callback, opened by somebody else: they must not land in the attacker's account.
  assert.match((await victim.get(back.pathname + back.search)).location ?? '', /error/)
  assert.equal(await me(victim), null)
})

test('a confirmation asks the issuer for the password again, and an old one there does not count', async () => {
  const there = openBrowser(provider.issuer, provider.issuer)
  provider.signedInSecondsAgo = 3_600
  const { browser } = await visit('/sign-in/sso', browserOf(opened), there)
  const create = () =>
    browser.fetch('/api/v1/personal-tokens', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' },
      body: JSON.stringify({ name: 'x' }),
    })
  assert.equal(problem.parse(await (await create()).json()).code, 'step_up_required')
  provider.signedInSecondsAgo = 0
  const page = await browser.get('/confirm?next=%2Faccount')
  assert.match(page.html, /Confirm with Example SSO/)
  assert.doesNotMatch(page.html, /name="password"/)
  const link = /href="(\/sign-in\/sso\?confirm=1[^"]*)"/.exec(page.html)?.[1]?.replaceAll('&amp;', '&') ?? ''
  const confirmed = await visit(link, browser, there)
  assert.equal(confirmed.location, '/confirm?next=%2Faccount')
  assert.equal((await browser.get(confirmed.location)).location, '/account')
  const asked = provider.requests.at(-1)
  assert.deepEqual([asked?.get('prompt'), asked?.get('max_age')], ['login', '0'])
  assert.equal((await create()).status, 201)
})

test('a browser that leaves the question for the password out has confirmed nothing', async () => {
  await using silent = await startSignOnProvider(`${CONSOLE}/api/auth/callback/sso`, { tellsAuthTime: false })
  silent.person = GRACE
  const { issuer, clientId, clientSecret } = silent
  const other = await openTestConsole({
    sso: { issuer, clientId, clientSecret, name: 'Silent', domains: ['example.org'] },
  })
  try {
    const browser = browserOf(other)
    const there = openBrowser(issuer, issuer)
    const through = async (path: string) => {
      const url = new URL((await browser.get(path)).location ?? '')
      for (const name of ['prompt', 'max_age']) url.searchParams.delete(name)
      let next = url.href
      while (!next.startsWith(CONSOLE)) next = new URL((await there.get(next)).location ?? '', next).href
      const back = new URL(next)
      return browser.get(back.pathname + back.search)
    }
    await through('/sign-in/sso')
    assert.notEqual((await me(browser))?.['steppedUpUntil'], null)
    assert.equal((await through('/sign-in/sso?confirm=1')).status, 303)
    const principal = await me(browser)
    assert.deepEqual([principal?.['email'], principal?.['steppedUpUntil']], [GRACE.email, null])
  } finally {
    await other.close()
  }
})

test('an issuer whose clock is ahead makes no confirmation last longer', async () => {
  provider.signedInSecondsAgo = -3_600
  const { browser } = await visit()
  const until = Date.parse(String((await me(browser))?.['steppedUpUntil']))
  assert.ok(until <= opened.runtime.clock.nowMs() + CONFIRMATION_MS)
})

test('an issuer that is away stops nobody else, and works again when it is back', async () => {
  const { issuer, clientId } = provider
  const other = await openTestConsole({
    sso: { issuer, clientId, clientSecret: null, name: 'Gone', domains: [] },
  })
  try {
    await setUpFirstPerson(other)
    provider.isAway = true
    assert.equal((await browserOf(other).get('/sign-in/sso')).status, 503)
    const callback = await browserOf(other).fetch('/api/auth/callback/sso?code=a&state=b')
    assert.equal(problem.parse(await callback.json()).code, 'unavailable')
    await signIn(other)
    provider.isAway = false
    const start = await browserOf(other).get('/sign-in/sso')
    assert.equal(start.status, 303)
    assert.equal(new URL(start.location ?? '').origin, issuer)
  } finally {
    provider.isAway = false
    await other.close()
  }
})

test('whose account is disabled does not get in, and is told so', async () => {
  provider.person = { ...GRACE, sub: 'dina', email: 'dina@example.org' }
  const { browser } = await visit()
  const user = String((await me(browser))?.['id'])
  await opened.client.call('people.update', { params: { user }, body: { disabled: true } })
  assert.equal(await me(browser), null)
  const refused = await visit()
  assert.match((await refused.browser.get(refused.location)).html, /account is disabled/)
  assert.equal(await me(refused.browser), null)
  await opened.client.call('people.update', { params: { user }, body: { disabled: false } })
  assert.equal((await me((await visit()).browser))?.['id'], user)
})
