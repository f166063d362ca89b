import assert from 'node:assert/strict'
import type { Browser } from './browser.ts'
import type { TestConsole } from './stack.ts'

/** What the console answers to a device that wants in (RFC 8628 section 3.2). */
export interface DeviceCodes {
  readonly device_code: string
  readonly user_code: string
  readonly verification_uri: string
  readonly verification_uri_complete: string
  readonly expires_in: number
  readonly interval: number
}

/** Asks for the two codes, as `berth login` does. */
export async function startDevice({ baseUrl }: TestConsole): Promise<DeviceCodes> {
  const response = await fetch(`${baseUrl}/api/auth/device/code`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', 'user-agent': 'berth-cli/test' },
    body: 'client_id=berth',
  })
  assert.equal(response.status, 200)
  return (await response.json()) as DeviceCodes
}

export interface PollAnswer {
  readonly status: number
  readonly error?: string
  readonly access_token?: string
}

/** Polls once. */
export async function pollDevice({ baseUrl }: TestConsole, deviceCode: string): Promise<PollAnswer> {
  const response = await fetch(`${baseUrl}/api/auth/device/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'user-agent': 'berth-cli/test' },
    body: JSON.stringify({
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: deviceCode,
      client_id: 'berth',
    }),
  })
  return { status: response.status, ...((await response.json()) as object) }
}

/** Lets the next poll come at once, without waiting for the interval. */
export async function forgetPolls({ tamper }: TestConsole): Promise<void> {
  await tamper('control', 'update device_code set last_polled_at = null')
}

/** Decides in a browser that is signed in, and was confirmed lately. */
export async function decideDevice(
  browser: Browser,
  { user_code: userCode }: DeviceCodes,
  decision: 'approve' | 'deny',
): Promise<string> {
  const page = await browser.get(`/device?user_code=${userCode}`)
  assert.equal(page.status, 200, page.html)
  const answer = await browser.submit({ decision })
  assert.equal(answer.status, 200, answer.html)
  return page.html
}

/** The whole of it: a session of a command line. Answers its token. */
export async function logDeviceIn(console: TestConsole, browser: Browser): Promise<string> {
  const codes = await startDevice(console)
  await decideDevice(browser, codes, 'approve')
  const { access_token: token } = await pollDevice(console, codes.device_code)
  assert.ok(token !== undefined)
  return token
}
