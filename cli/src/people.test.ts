import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import type { Browser } from '../../test/support/console/browser.ts'
import { forgetPolls } from '../../test/support/console/device.ts'
import { FIRST_PERSON, setUpFirstPerson, signIn } from '../../test/support/console/people.ts'
import { openTestConsole, type TestConsole } from '../../test/support/console/stack.ts'
import type { Io } from './io.ts'
import { run } from './run.ts'

let opened: TestConsole
let home: string

before(async () => {
  opened = await openTestConsole()
  home = await mkdtemp(join(tmpdir(), 'berth-cli-people-'))
  await setUpFirstPerson(opened)
})
after(async () => {
  await opened.close()
  await rm(home, { recursive: true })
})

interface Options {
  readonly input?: string
  readonly env?: Record<string, string>
  /** What the person does while the command waits between two polls. */
  readonly meanwhile?: (shown: string, waited: number) => Promise<void>
}

async function berth(args: readonly string[], options: Options = {}) {
  const stdin = Readable.from(options.input === undefined ? [] : [options.input])
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  let shown = ''
  let waited = 0
  stderr.on('data', (chunk) => {
    shown += String(chunk)
  })
  const out = text(stdout)
  const code = await run(args, {
    stdin: stdin as unknown as Io['stdin'],
    stdout: stdout as unknown as Io['stdout'],
    stderr: stderr as unknown as Io['stderr'],
    env: { XDG_CONFIG_HOME: home, ...options.env },
    nowMs: () => Date.now(),
    async pause(ms) {
      waited += 1
      await forgetPolls(opened)
      await options.meanwhile?.(shown, ms)
      assert.ok(waited < 20, shown)
    },
  })
  stdout.end()
  return { code, stdout: await out, stderr: shown }
}

async function ok(args: readonly string[], options: Options = {}): Promise<string> {
  const { code, stdout, stderr } = await berth(args, options)
  assert.equal(code, 0, `berth ${args.join(' ')}\n${stdout}\n${stderr}`)
  return stdout
}

/** Opens the address that the terminal shows, and decides. */
async function decide(browser: Browser, shown: string, decision: 'approve' | 'deny'): Promise<void> {
  const path = /Open http:\/\/console\.example(\/device\?user_code=\S+)/.exec(shown)?.[1] ?? ''
  const page = await browser.get(path)
  const code = /shows the code (\S+)\./.exec(shown)?.[1] ?? 'none'
  assert.ok(page.html.includes(code), page.html)
  assert.match(page.html, /berth-cli\/\d+\.\d+\.\d+ on /)
  await browser.submit({ decision })
}

async function logIn(env: Record<string, string> = {}): Promise<string> {
  const browser = await signIn(opened)
  const meanwhile = (shown: string) => decide(browser, shown, 'approve')
  return ok(['login', opened.baseUrl, '--name', 'here'], { env, meanwhile })
}

test('login shows a code and an address, and goes on once it was approved', async () => {
  const printed = await logIn()
  assert.match(printed, /Logged in to http:\S+ as ada@example\.org\. The context "here" is current\./)
  const who = await ok(['whoami'])
  assert.match(who, /You are: +Ada Lovelace <ada@example\.org>, operator/)
  assert.match(who, /Confirmed: +until in \d+ minutes/)
  await ok(['projects', 'create', 'By Ada'])
})

test('login that is denied, or whose code expires, keeps nothing', async () => {
  const env = { XDG_CONFIG_HOME: join(home, 'denied') }
  const browser = await signIn(opened)
  const denied = await berth(['login', opened.baseUrl], {
    env,
    meanwhile: (shown) => decide(browser, shown, 'deny'),
  })
  assert.equal(denied.code, 4)
  assert.match(denied.stderr, /The login was denied in the browser/)
  const expired = await berth(['login', opened.baseUrl], {
    env,
    meanwhile: () => opened.tamper('control', 'update device_code set expires_at = 1'),
  })
  assert.equal(expired.code, 1)
  assert.match(expired.stderr, /The code has expired\.\nTry again: berth login/)
  await assert.rejects(readFile(join(home, 'denied', 'berth', 'config.json')))
})

test('login polls more slowly when it is told to', async () => {
  const pauses: number[] = []
  const browser = await signIn(opened)
  await ok(['login', opened.baseUrl, '--name', 'slow'], {
    env: { XDG_CONFIG_HOME: join(home, 'slow') },
    async meanwhile(shown, ms) {
      pauses.push(ms)
      const tooSoon = `update device_code set last_polled_at = ${Date.now() + 1_000}`
      if (pauses.length === 1) await opened.tamper('control', tooSoon)
      if (pauses.length === 3) await decide(browser, shown, 'approve')
    },
  })
  assert.deepEqual(pauses, [5_000, 10_000, 10_000])
})

test('a console that is not there, or is none, ends a login with what to do', async () => {
  const { code, stderr } = await berth(['login', 'http://127.0.0.1:1'])
  assert.equal(code, 1)
  assert.match(stderr, /No answer from http:\/\/127\.0\.0\.1:1/)
})

test('sessions are listed and ended', async () => {
  await logIn()
  const list = await ok(['sessions', 'list'])
  assert.match(list, /^ +ID +KIND/)
  assert.match(list, /^\* +\w{32} +command line +127\.0\.0\.1 +berth-cli/m)
  const browser = (
    JSON.parse(await ok(['sessions', 'list', '--json'])) as { items: { id: string; kind: string }[] }
  ).items.find(({ kind }) => kind === 'browser')
  assert.match(await ok(['sessions', 'end', browser?.id ?? '']), /^Ended the session/)
  assert.equal((await berth(['sessions', 'end', browser?.id ?? ''])).code, 3)
  assert.equal((await berth(['sessions', 'end'])).code, 2)
  assert.match(await ok(['sessions', 'end', '--others']), /Ended \d+ sessions?\.|There were no others/)
  assert.match(await ok(['sessions', 'end', '--others']), /There were no others/)
})

test('a personal access token is created, used, listed and revoked', async () => {
  await logIn()
  const created = await ok(['tokens', 'create', 'ci', '--expires', '90d'])
  const token = /brth_p_\w+/.exec(created)?.[0] ?? ''
  const id = token.split('_')[2] ?? ''
  const env = { XDG_CONFIG_HOME: join(home, 'ci') }
  assert.match(
    await ok(['login', opened.baseUrl, '--token', '--name', 'ci'], { env, input: `${token}\n` }),
    /as ada@example\.org/,
  )
  assert.match(await ok(['whoami'], { env }), /By: +personal access token/)
  assert.match(
    await ok(['tokens', 'list']),
    new RegExp(`${id} +ci +active +no +just now +just now +in \\d+ (days|months)`),
  )
  assert.match(await ok(['tokens', 'revoke', id, '--yes']), /Revoked the token "ci"/)
  assert.equal((await berth(['whoami'], { env })).code, 4)
  assert.match(await ok(['tokens', 'list', '--all-states']), new RegExp(`${id} +ci +revoked`))
  assert.equal((await berth(['tokens', 'create', 'x', '--expires', 'soon'])).code, 2)
})

test('logout ends the session on the server, and forgets it here', async () => {
  await logIn()
  const { token } = (
    JSON.parse(await readFile(join(home, 'berth', 'config.json'), 'utf8')) as {
      contexts: Record<string, { token: string }>
    }
  ).contexts['here'] ?? { token: '' }
  const { code, stderr } = await berth(['logout'])
  assert.equal(code, 0)
  assert.match(stderr, /"here" is forgotten here; the session is ended\./)
  const env = { BERTH_TOKEN: token, BERTH_CONSOLE_URL: opened.baseUrl }
  assert.equal((await berth(['whoami'], { env })).code, 4)
})

test('what is sensitive names the page to confirm at, later than ten minutes after the login', async () => {
  await logIn()
  await opened.tamper('control', 'update user_session set confirmed_at = null')
  const { code, stderr } = await berth(['tokens', 'create', 'late'])
  assert.equal(code, 4)
  assert.match(stderr, /Open http:\/\/console\.example\/confirm\?session=\w+ in a browser/)
  const path = /http:\/\/console\.example(\S+)/.exec(stderr)?.[1] ?? ''
  const browser = await signIn(opened)
  await browser.get(path)
  await browser.submit({ password: FIRST_PERSON.password })
  await ok(['tokens', 'create', 'late'])
})
