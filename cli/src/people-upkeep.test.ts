import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { PersonPrincipal } from '../../server/src/control/principal.ts'
import { addPerson, makeSession } from '../../test/support/console/members.ts'
import { OPERATOR_TOKEN, openTestConsole, type TestConsole } from '../../test/support/console/stack.ts'
import type { Io } from './io.ts'
import { run } from './run.ts'

let opened: TestConsole
let home: string
let olga: PersonPrincipal
let vera: PersonPrincipal

before(async () => {
  opened = await openTestConsole()
  home = await mkdtemp(join(tmpdir(), 'berth-cli-upkeep-'))
  olga = await addPerson(opened, 'Olga', { isOperator: true })
  vera = await addPerson(opened, 'Vera')
})
after(async () => {
  await opened.close()
  await rm(home, { recursive: true })
})

/** Runs the command line in this process with this token. */
async function berth(token: string, ...args: string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const [out, err] = [text(stdout), text(stderr)]
  const code = await run(args, {
    stdin: Readable.from([]) as unknown as Io['stdin'],
    stdout: stdout as unknown as Io['stdout'],
    stderr: stderr as unknown as Io['stderr'],
    env: { XDG_CONFIG_HOME: home, BERTH_CONSOLE_URL: opened.baseUrl, BERTH_TOKEN: token },
    nowMs: () => opened.runtime.clock.nowMs(),
  })
  stdout.end()
  stderr.end()
  return { code, out: await out, err: await err }
}

const operator = (...args: string[]) => berth(OPERATOR_TOKEN, 'people', ...args)

test('people are listed, made operators, disabled and enabled', async () => {
  const listed = await operator('list')
  assert.match(listed.out, /^NAME +E-MAIL +OPERATOR +STATE /)
  assert.match(listed.out, /Olga +olga@example\.com +yes +enabled /)
  assert.match(listed.out, /Vera +vera@example\.com +enabled +password /)
  const promoted = await operator('set', 'Vera@example.com', '--operator')
  assert.equal(promoted.out, 'Vera is an operator, and the account is enabled.\n')
  assert.match((await operator('set', vera.userId, '--no-operator')).out, /^Vera is no operator/)
  assert.equal((await operator('set', vera.userId, '--disable')).code, 2)
  const disabled = await operator('set', vera.userId, '--disable', '--yes')
  assert.equal(disabled.out, 'Vera is no operator, and the account is disabled.\n')
  assert.match((await operator('list')).out, /Vera .* disabled /)
  assert.match((await operator('set', vera.userId, '--enable')).out, /is enabled\.\n$/)
  const last = await operator('set', olga.userId, '--no-operator')
  assert.equal(last.code, 1)
  assert.match(last.err, /berth people set <person> --operator/)
  for (const wrong of [[], ['--disable', '--enable']]) {
    assert.equal((await operator('set', vera.userId, ...wrong)).code, 2)
  }
  assert.equal((await operator('set', 'ghost@example.com', '--enable')).code, 3)
})

test('a link for a new password is printed once', async () => {
  const made = await operator('reset-password', 'vera@example.com')
  assert.match(
    made.out,
    /^Pass this link on to vera@example\.com; .*:\n\n {2}http:\S+\/password-reset\?token=\S+\n/,
  )
})

test('passkeys are listed, and deleted after a question', async () => {
  const token = await makeSession(opened, vera)
  await opened.tamper(
    'control',
    `insert into user_passkey (id, user_id, name, public_key, credential_id, counter, device_type, backed_up, created_at)
       values ('key-1', '${vera.userId}', 'laptop', 'x', 'x', 0, 'x', 1, 1)`,
  )
  assert.match((await berth(token, 'passkeys', 'list')).out, /key-1 +laptop +yes /)
  assert.equal((await berth(token, 'passkeys', 'delete', 'key-1')).code, 2)
  assert.equal(
    (await berth(token, 'passkeys', 'delete', 'key-1', '--yes')).out,
    'Deleted the passkey laptop.\n',
  )
  assert.match((await berth(token, 'passkeys', 'list')).err, /no passkeys/)
})
