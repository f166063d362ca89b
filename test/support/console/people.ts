import assert from 'node:assert/strict'
import { type Browser, openBrowser } from './browser.ts'
import { SETUP_TOKEN, type TestConsole } from './stack.ts'

export const FIRST_PERSON = {
  name: 'Ada Lovelace',
  email: 'ada@example.org',
  password: 'correct horse battery staple',
}

/** A browser that reaches the console by its own address. */
export function browserOf(console: TestConsole, headers: Record<string, string> = {}): Browser {
  return openBrowser(console.baseUrl, new URL(console.runtime.consoleUrl).origin, headers)
}

/** Makes the first operator through the setup link. Answers the browser, which is signed in. */
export async function setUpFirstPerson(console: TestConsole): Promise<Browser> {
  const browser = browserOf(console)
  await browser.get(`/setup?token=${SETUP_TOKEN}`)
  const answer = await browser.submit(FIRST_PERSON)
  assert.equal(answer.status, 200, answer.html)
  return browser
}

/** Signs in with a password in a new browser. */
export async function signIn(
  console: TestConsole,
  person: { readonly email: string; readonly password: string } = FIRST_PERSON,
): Promise<Browser> {
  const browser = browserOf(console)
  await browser.get('/sign-in')
  const answer = await browser.submit({ email: person.email, password: person.password })
  assert.equal(answer.status, 303, answer.html)
  return browser
}
