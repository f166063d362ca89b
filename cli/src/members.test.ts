import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { PersonPrincipal } from '../../server/src/control/principal.ts'
import { addMember, addPerson, makeToken } from '../../test/support/console/members.ts'
import { OPERATOR_TOKEN, openTestConsole, type TestConsole } from '../../test/support/console/stack.ts'
import type { Io } from './io.ts'
import { run } from './run.ts'

let opened: TestConsole
let home: string
let olga: PersonPrincipal
let vera: PersonPrincipal
const tokens = new Map<PersonPrincipal, string>()

before(async () => {
  opened = await openTestConsole()
  home = await mkdtemp(join(tmpdir(), 'berth-cli-members-'))
  olga = await person('Olga')
  vera = await person('Vera')
  assert.equal((await as(olga, 'projects', 'create', 'club')).code, 0)
  await addMember(opened, 'club', vera, 'viewer')
})
after(async () => {
  await opened.close()
  await rm(home, { recursive: true })
})

async function person(name: string): Promise<PersonPrincipal> {
  const added = await addPerson(opened, name)
  tokens.set(added, await makeToken(opened, added))
  return added
}

/** Runs the command line in this process as somebody; null is the operator. */
async function as(who: PersonPrincipal | null, ...args: string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const [out, err] = [text(stdout), text(stderr)]
  const code = await run(args, {
    stdin: Readable.from([]) as unknown as Io['stdin'],
    stdout: stdout as unknown as Io['stdout'],
    stderr: stderr as unknown as Io['stderr'],
    env: {
      XDG_CONFIG_HOME: home,
      BERTH_CONSOLE_URL: opened.baseUrl,
      BERTH_PROJECT: 'club',
      BERTH_TOKEN: who === null ? OPERATOR_TOKEN : (tokens.get(who) ?? ''),
    },
    nowMs: () => opened.runtime.clock.nowMs(),
  })
  stdout.end()
  stderr.end()
  return { code, out: await out, err: await err }
}

test('members are listed, get other roles by address, and are removed', async () => {
  const listed = await as(olga, 'members', 'list')
  assert.match(listed.out, /^NAME +E-MAIL +ROLE .*\nOlga +olga@example\.com +owner .*\nVera .* viewer /)
  const promoted = await as(olga, 'members', 'set-role', 'Vera@example.com', 'developer')
  assert.equal(promoted.out, 'Vera is developer now.\n')
  const denied = await as(vera, 'members', 'set-role', olga.userId, 'viewer')
  assert.equal(denied.code, 4)
  assert.match(denied.err, /Your role in this project is developer; this needs owner or admin\./)
  assert.equal((await as(olga, 'members', 'set-role', vera.userId, 'king')).code, 2)
  assert.equal((await as(olga, 'members', 'set-role', 'ghost@example.com', 'viewer')).code, 3)
  const last = await as(olga, 'members', 'leave', '--yes')
  assert.equal(last.code, 1)
  assert.match(last.err, /berth members set-role <person> owner/)
  const temporary = await person('Temp')
  await addMember(opened, 'club', temporary, 'developer')
  assert.equal((await as(temporary, 'keys', 'create', 'laptop')).code, 0)
  const asked = await as(olga, 'members', 'remove', 'temp@example.com')
  assert.equal(asked.code, 2)
  const removed = await as(olga, 'members', 'remove', 'temp@example.com', '--yes')
  assert.match(removed.out, /^Temp is no member any more\.\nTheir keys ended, everywhere: [0-9a-z]{12}\.\n$/)
})

test('an invitation prints its link once, is listed and revoked', async () => {
  const made = await as(
    olga,
    'invitations',
    'create',
    'new@example.com',
    '--role',
    'admin',
    '--expires',
    '3d',
  )
  assert.match(
    made.out,
    /^Invited new@example\.com as admin\. .* in 3 days:\n\n {2}http:\S+\/invitation\?token=\S+\n/,
  )
  const [, token = ''] = /token=(\S+)/.exec(made.out) ?? []
  const listed = await as(olga, 'invitations', 'list')
  assert.match(listed.out, /new@example\.com +admin +pending/)
  assert.equal(listed.out.includes(token), false)
  const id = /^([0-9a-z]{12}) /m.exec(listed.out)?.[1] ?? ''
  assert.equal(
    (await as(olga, 'invitations', 'revoke', id)).out,
    'Revoked the invitation of new@example.com.\n',
  )
  assert.match((await as(olga, 'invitations', 'list', '--all-states')).out, /revoked/)
  assert.match((await as(olga, 'invitations', 'list')).err, /no open invitations/)
})

test('only operators invite to the installation', async () => {
  const create = ['invitations', 'create', 'chief@example.com', '--installation', '--operator']
  assert.equal((await as(olga, ...create)).code, 4)
  assert.match((await as(null, ...create)).out, /^Invited chief@example\.com as an operator\./)
  assert.match((await as(null, 'invitations', 'list', '--installation')).out, /chief@example\.com +operator/)
  assert.equal((await as(olga, 'invitations', 'create', 'x@example.com', '--operator')).code, 2)
})

test('keys that expire soon are marked, and warned about beside the list', async () => {
  await as(olga, 'keys', 'create', 'short', '--expires', '3d')
  await as(olga, 'keys', 'create', 'long', '--expires', '90d')
  const listed = await as(olga, 'keys', 'list')
  assert.match(listed.out, /short .* in 3 days \(soon\)/)
  assert.doesNotMatch(listed.out, /long .*\(soon\)/)
  assert.equal(
    listed.err,
    'warning: these keys expire soon: "short" (in 3 days). Make new ones and log in with them.\n',
  )
  const mine = await as(vera, 'keys', 'create', 'mine')
  assert.equal(mine.code, 0)
  const hers = await as(vera, 'keys', 'list')
  assert.equal(hers.out.includes('short'), false)
  assert.equal(hers.err, '')
})

test('a namespace is checked before a project is made', async () => {
  assert.equal(
    (await as(vera, 'projects', 'check-namespace', 'club')).out.startsWith('club cannot be had.'),
    true,
  )
  assert.equal((await as(vera, 'projects', 'check-namespace', 'not-yet')).out, 'not-yet is free.\n')
  assert.match((await as(vera, 'projects', 'list')).out, /^NAMESPACE +NAME +ROLE .*\nclub +club +developer /)
})
