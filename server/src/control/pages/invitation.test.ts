import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { browserOf, FIRST_PERSON, setUpFirstPerson, signIn } from '../../../../test/support/console/people.ts'
import {
  MAX_AUTH_REQUESTS_PER_MINUTE,
  MAX_WAITING_PASSWORD_CHECKS,
  PASSWORD_CHECKS_AT_ONCE,
} from '../people/limits.ts'
import { openTestConsole, type TestConsole } from '../../../../test/support/console/stack.ts'

const PASSWORD = 'a sentence that nobody says'

let opened: TestConsole

before(async () => {
  opened = await openTestConsole()
  await setUpFirstPerson(opened)
  await opened.client.call('projects.create', { body: { name: 'The <Club>', namespace: 'club' } })
})
after(() => opened.close())

async function invite(email: string): Promise<{ readonly path: string; readonly token: string }> {
  const { link, token } = await opened.client.call('invitations.create', {
    params: { project: 'club' },
    body: { email, role: 'developer' },
  })
  return { path: link.replace('http://console.example', ''), token }
}

async function members(): Promise<string[]> {
  const { items } = await opened.client.call('members.list', { params: { project: 'club' } })
  return items.map(({ email, role }) => `${email} ${role}`)
}

test('a newcomer makes an account on the page, is signed in and a member; the link is used up then', async () => {
  const { path, token } = await invite('new@example.org')
  const browser = browserOf(opened)
  // Looking at it, as previews of chats do, uses nothing up.
  for (let i = 0; i < 3; i++) assert.equal((await browser.get(path)).status, 200)
  const page = await browser.get(path)
  assert.match(page.html, /You are invited to The &lt;Club&gt; as developer/)
  assert.match(page.html, /new@example\.org/)
  assert.match(String(page.headers.get('content-security-policy')), /default-src 'none'/)
  assert.equal(page.headers.get('cache-control'), 'no-store')
  assert.equal(page.headers.get('referrer-policy'), 'no-referrer')

  const short = await browser.submit({ name: 'New', password: 'short' })
  assert.equal(short.status, 422)
  assert.match(short.html, /Password: needs at least 12 characters/)
  const welcome = await browser.submit({ name: 'New', password: PASSWORD })
  assert.equal(welcome.status, 200, welcome.html)
  assert.match(welcome.html, /berth keys create laptop --project club/)
  assert.ok((await members()).includes('new@example.org developer'))
  assert.equal((await browser.get('/account')).status, 200)
  const again = await browserOf(opened).get(path)
  assert.deepEqual([again.status, again.html.includes(token)], [404, false])
  assert.equal(
    (await signIn(opened, { email: 'new@example.org', password: PASSWORD })).cookies.size > 0,
    true,
  )
  assert.equal(opened.logged().includes(token), false)
})

test("an operator's invitation makes an account although somebody squats on the address", async () => {
  const email = 'squatted@example.org'
  const squatter = browserOf(opened)
  await squatter.get((await invite(email)).path)
  assert.equal((await squatter.submit({ name: 'Squatter', password: PASSWORD })).status, 200)
  const made = await opened.client.call('installationInvitations.create', { body: { email } })
  const owner = browserOf(opened)
  await owner.get(made.link.replace('http://console.example', ''))
  const welcome = await owner.submit({ name: 'Owner', password: `${PASSWORD} else` })
  assert.equal(welcome.status, 200, welcome.html)
  assert.equal((await owner.get('/account')).status, 200)
  assert.equal((await squatter.get('/account')).status, 303)
  await signIn(opened, { email, password: `${PASSWORD} else` })
})

test('who has an account signs in and comes back to accept', async () => {
  const { path } = await invite(FIRST_PERSON.email)
  const browser = browserOf(opened)
  const page = await browser.get(path)
  const [, next = ''] = /href="\/sign-in\?next=([^"]+)"/.exec(page.html) ?? []
  const taken = await browser.submit({ name: 'Me Again', password: PASSWORD })
  assert.equal(taken.status, 422)
  assert.match(taken.html, /has an account with this address already/)
  await browser.get(`/sign-in?next=${next}`)
  const signedIn = await browser.submit(FIRST_PERSON)
  assert.equal(signedIn.location, path)
  const offered = await browser.get(path)
  assert.match(offered.html, /<button>Accept<\/button>/)
  assert.equal((await browser.submit({})).status, 200)
  assert.ok((await members()).includes(`${FIRST_PERSON.email} developer`))
})

test('who was not invited cannot accept, in a form or without one', async () => {
  const { path, token } = await invite('somebody-else@example.org')
  const browser = await signIn(opened)
  const page = await browser.get(path)
  assert.equal(page.status, 422)
  assert.match(page.html, /who was not invited/)
  assert.doesNotMatch(page.html, /<form /)
  await browser.get('/account')
  const before = await members()
  for (const fields of [{ token }, { token, name: 'X', password: PASSWORD }]) {
    const forged = await browser.fetch('/invitation', {
      method: 'POST',
      body: new URLSearchParams(fields).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': 'cross-site' },
    })
    assert.equal(forged.status, 403)
  }
  assert.deepEqual(await members(), before)
})

test('a wrong link, a used one and none at all are told the same', async () => {
  const { path } = await invite('late@example.org')
  opened.advance(8 * 24 * 3_600_000)
  const pages = []
  for (const each of [path, '/invitation?token=x', '/invitation', '/invitation?token=a&token=b']) {
    const { status, html } = await browserOf(opened).get(each)
    pages.push({ status, html })
  }
  for (const page of pages) assert.deepEqual(page, pages[0])
  assert.equal(pages[0]?.status, 404)
})

test('an address that has an account buys no password hash, and an address of the network only so many tries', async () => {
  const { path } = await invite('ada-again@example.org')
  const browser = browserOf(opened)
  await browser.get(path)
  assert.equal((await browser.submit({ name: 'Ada', password: PASSWORD })).status, 200)
  await opened.client.call('members.remove', {
    params: { project: 'club', user: await userIdOf('ada-again@example.org') },
  })
  const again = await invite('ada-again@example.org')
  const stranger = browserOf(opened)
  await stranger.get(again.path)
  const tries = Array.from({ length: MAX_AUTH_REQUESTS_PER_MINUTE + 10 }, () =>
    stranger.submit({ name: 'Ada', password: PASSWORD }),
  )
  const statuses = Map.groupBy(await Promise.all(tries), ({ status }) => status)
  // Many more at once than may wait for a hash, which would be answered with 503.
  assert.deepEqual(
    [...statuses.keys()].toSorted((a, b) => a - b),
    [422, 429],
  )
  assert.ok((statuses.get(422) ?? []).length > PASSWORD_CHECKS_AT_ONCE + MAX_WAITING_PASSWORD_CHECKS)
})

async function userIdOf(email: string): Promise<string> {
  const { items } = await opened.client.call('members.list', { params: { project: 'club' } })
  return items.find((member) => member.email === email)?.userId ?? ''
}
