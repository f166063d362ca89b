import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { OPERATOR_TOKEN, openTestConsole, type TestConsole } from '../../../test/support/console/stack.ts'
import type { Io } from '../io.ts'
import { run } from '../run.ts'

const PASSWORD = 'a-password-that-nobody-prints'
let opened: TestConsole

before(async () => {
  opened = await openTestConsole()
  await opened.client.call('projects.create', { body: { name: 'Acme', namespace: 'acme' } })
})
after(() => opened.close())

/** Runs the command line in this process, without a terminal. */
async function berth(
  args: readonly string[],
  options: { readonly input?: string; readonly env?: Record<string, string> } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const [out, err] = [text(stdout), text(stderr)]
  const code = await run(args, {
    stdin: Readable.from(options.input === undefined ? [] : [options.input]) as unknown as Io['stdin'],
    stdout: stdout as unknown as Io['stdout'],
    stderr: stderr as unknown as Io['stderr'],
    env: {
      BERTH_CONSOLE_URL: opened.baseUrl,
      BERTH_TOKEN: OPERATOR_TOKEN,
      BERTH_PROJECT: 'acme',
      XDG_CONFIG_HOME: '/nonexistent',
      ...options.env,
    },
    nowMs: () => Date.now(),
  })
  stdout.end()
  stderr.end()
  return { code, stdout: await out, stderr: await err }
}

async function ok(args: readonly string[], options: Parameters<typeof berth>[1] = {}): Promise<string> {
  const { code, stdout, stderr } = await berth(args, options)
  assert.equal(code, 0, `berth ${args.join(' ')}\n${stdout}\n${stderr}`)
  assert.equal((stdout + stderr).includes(PASSWORD), false, 'the password is not printed')
  return stdout
}

test('a third-party registry is connected, changed, tested and removed', async () => {
  const add = ['registries', 'add', 'docker-hub', '--username', 'alice', '--password-stdin']
  assert.match(
    await ok(add, { input: `${PASSWORD}\n` }),
    /Connected Docker Hub \(docker-hub\)\..*\n {2}docker pull /,
  )
  assert.match(await ok(['registries', 'list']), /Docker Hub +docker_hub +docker-hub +docker\.io +alice/)
  assert.match(await ok(['registries', 'show', 'docker-hub']), /Login:? +alice, set just now/)
  const custom = ['registries', 'add', 'custom', '--host', '10.1.2.3', '--slug', 'own', '--username', 'bob']
  await ok(custom, { env: { BERTH_REGISTRY_PASSWORD: PASSWORD } })
  const tested = await berth(['registries', 'test', 'own'])
  assert.equal(tested.code, 1)
  // The reason once, as a sentence, and below it what to do.
  assert.match(tested.stdout, /^FAIL {2}reach: (10\.1\.2\.3|[A-Z]).*\.\n[A-Z].*\.\n$/)
  const moved = await berth(['registries', 'update', 'own', '--host', '10.1.2.4'])
  assert.match(moved.stderr, /^warning: The stored password belonged to 10\.1\.2\.3 and was removed/)
  await ok(['registries', 'update', 'docker-hub', '--anonymous'])
  assert.match(await ok(['registries', 'show', 'docker-hub']), /Login:? +none/)
  await ok(['registries', 'remove', 'own', '--yes'])
  assert.equal((await berth(['registries', 'show', 'own'])).code, 3)
})

test('the password that is stored is the one that was given, with all its lines', async () => {
  const password = `{\n  "type": "service_account"\n}`
  const args = [
    'registries',
    'add',
    'custom',
    '--host',
    'eu.example',
    '--username',
    '_json_key',
    '--password-stdin',
  ]
  await ok(args, { input: `${password}\n` })
  const row = await opened.runtime.db.reader
    .selectFrom('registry')
    .selectAll()
    .where('host', '=', 'eu.example')
    .executeTakeFirstOrThrow()
  const place = {
    projectId: row.project_id,
    record: `registry/${row.id}`,
    field: 'password',
    host: 'eu.example',
  }
  const bytes = await opened.runtime.vault.open(place, row.sealed_password ?? '')
  assert.equal(Buffer.from(bytes).toString(), password)
})

test('a password is no argument, and nobody is asked where nobody is', async () => {
  const asArgument = await berth(['registries', 'add', 'ghcr', '--username', 'a', '--password', PASSWORD])
  assert.equal(asArgument.code, 2)
  assert.match(asArgument.stderr, /unknown option/)
  const without = await berth(['registries', 'add', 'ghcr', '--username', 'a'])
  assert.deepEqual(
    [without.code, /--password-stdin, or set BERTH_REGISTRY_PASSWORD/.test(without.stderr)],
    [2, true],
  )
  const nobody = await berth(['registries', 'add', 'ghcr', '--password-stdin'], { input: PASSWORD })
  assert.equal(nobody.code, 2)
})

test('credentials of a managed registry are generated, shown, rotated and revoked by their region', async () => {
  const made = await ok(['registries', 'credentials', 'generate', 'near'])
  const password = /Password:? +(brth_k_\S+)/.exec(made)?.[1] ?? ''
  assert.match(made, /docker login near\.example:5000 -u api/)
  assert.ok((await ok(['registries', 'credentials', 'show', 'near'])).includes(password))
  const rotated = await ok(['registries', 'credentials', 'rotate', 'near', '--overlap', '2h'])
  assert.match(rotated, /^The password before ends in 2 hours\.\n/)
  assert.equal(rotated.includes(password), false)
  const schedule = await ok(['registries', 'schedule', 'near', '--every', '7d'])
  assert.match(schedule, /are rotated every 7 days, next in 7 days\./)
  assert.match(await ok(['registries', 'schedule', 'near', '--off']), /are not rotated by themselves/)
  assert.equal((await berth(['registries', 'schedule', 'near', '--every', '36h'])).code, 2)
  assert.match(await ok(['registries', 'credentials', 'revoke', 'near', '--yes']), /^Revoked the credentials/)
  assert.equal((await berth(['registries', 'credentials', 'show', 'near'])).code, 3)
})

test('keys are changed by an operator, who sees what is left', async () => {
  await ok(['registries', 'credentials', 'generate', 'far'])
  assert.match(await ok(['vault', 'status']), /Re-keying:? +none/)
  const done = JSON.parse(await ok(['vault', 'rekey', '--json'])) as Record<string, unknown>
  assert.deepEqual([done['done'], done['rekeyedProjects'], done['unreadable']], [true, 1, []])
  assert.match(
    await ok(['vault', 'rekey', '--root-only']),
    /^Done: 0 project keys .* 0 projects have a new key/,
  )
})
