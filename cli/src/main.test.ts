import assert from 'node:assert/strict'
import { type SpawnOptionsWithoutStdio, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { pushImage } from '../../test/support/console/content.ts'
import { OPERATOR_TOKEN, openTestConsole, type TestConsole } from '../../test/support/console/stack.ts'
import type { Io } from './io.ts'
import { run } from './run.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))

let opened: TestConsole
let home: string

before(async () => {
  opened = await openTestConsole()
  home = await mkdtemp(join(tmpdir(), 'berth-cli-'))
  await spawnBerth(['login', opened.baseUrl, '--token'], { input: `${OPERATOR_TOKEN}\n` })
})
after(async () => {
  await opened.close()
  await rm(home, { recursive: true })
})

interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface RunOptions {
  readonly input?: string
  readonly env?: Record<string, string>
}

/** Runs the command line as a process of its own, without a terminal. */
async function spawnBerth(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const spawnOptions: SpawnOptionsWithoutStdio = { env: { ...environment(), ...options.env } }
  const child = spawn(process.execPath, [MAIN, ...args], spawnOptions)
  child.stdin.end(options.input ?? '')
  const [out, err] = [text(child.stdout), text(child.stderr)]
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout: await out, stderr: await err }
}

/** Runs the same in this process, which takes a fraction of the time. */
async function berth(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const stdin = Readable.from(options.input === undefined ? [] : [options.input])
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const [out, err] = [text(stdout), text(stderr)]
  const code = await run(args, {
    stdin: stdin as unknown as Io['stdin'],
    stdout: stdout as unknown as Io['stdout'],
    stderr: stderr as unknown as Io['stderr'],
    env: { ...environment(), ...options.env },
    nowMs: () => Date.now(),
  })
  stdout.end()
  stderr.end()
  return { code, stdout: await out, stderr: await err }
}

function environment(): Record<string, string | undefined> {
  return { PATH: process.env['PATH'], XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home }
}

async function ok(args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await berth(args, options)
  assert.equal(code, 0, `berth ${args.join(' ')}\n${stdout}\n${stderr}`)
  return stdout
}

async function json<Value>(args: readonly string[]): Promise<Value> {
  return JSON.parse(await ok([...args, '--json'])) as Value
}

test('login keeps the token in a file of its owner alone, and nowhere else', async () => {
  const file = join(home, 'berth', 'config.json')
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  assert.match(await readFile(file, 'utf8'), new RegExp(OPERATOR_TOKEN))
  const { stdout } = await berth(['contexts', 'list', '--json'])
  assert.doesNotMatch(stdout, new RegExp(OPERATOR_TOKEN))
  assert.match(await ok(['whoami']), /You are:\s+operator/)
})

test('a wrong token is denied and not kept', async () => {
  const env = { XDG_CONFIG_HOME: join(home, 'wrong') }
  const outcome = await berth(['login', opened.baseUrl, '--token'], { input: 'nonsense\n', env })
  assert.equal(outcome.code, 4)
  assert.match(outcome.stderr, /^error: .*\nLog in with: berth login\nrequest id: [0-9a-f]{24}\n$/)
  await assert.rejects(stat(join(home, 'wrong', 'berth', 'config.json')))
  const empty = await berth(['login', opened.baseUrl, '--token'], { input: '', env })
  assert.equal(empty.code, 2)
})

test('a project is created, listed, changed, renamed and shown', async () => {
  const created = await ok(['projects', 'create', 'Web Shop', '--quota', '10GiB', '--public', 'open/**,docs'])
  assert.equal(created, 'Created the project "Web Shop" with the namespace web-shop.\n')
  assert.match(await ok(['projects', 'list']), /^NAMESPACE .*\n(.*\n)*web-shop +Web Shop +10 GiB +just now\n/)
  await ok(['projects', 'set', 'web-shop', '--quota', 'none', '--private'])
  await ok(['projects', 'rename', 'web-shop', 'Shop'])
  assert.match(
    await ok(['projects', 'show', 'web-shop']),
    /Home region: +near\nHost of it: +registry\.example\n/,
  )
  const shown = await json<{ name: string; quotaBytes: number | null; publicRepositories: string[] }>([
    'projects',
    'show',
    'web-shop',
  ])
  assert.deepEqual([shown.name, shown.quotaBytes, shown.publicRepositories], ['Shop', null, []])
  assert.equal((await berth(['projects', 'set', 'web-shop'])).code, 2)
})

test('a key is printed once, in the answer to its creation', async () => {
  await ok(['projects', 'create', 'keys'])
  const project = ['--project', 'keys']
  const printed = await ok(['keys', 'create', 'ci', '--actions', 'pull,push', '--expires', '30d', ...project])
  const [key = ''] = /brth_k_\w+/.exec(printed) ?? []
  assert.equal(printed.split(key).length, 2)
  assert.match(printed, /docker login near\.example:5000 -u api\n/)
  const id = key.split('_')[2] ?? ''
  const secret = key.split('_')[3] ?? ''
  const others = [
    await ok(['keys', 'list', ...project]),
    await ok(['keys', 'show', id, ...project]),
    await ok(['audit', 'list', ...project]),
    await ok(['keys', 'list', '--json', '--all-states', ...project]),
  ]
  assert.equal(others.join('').includes(secret), false)
  assert.match(others[0] ?? '', /in 30 days|in 1 month/)

  const rotated = await json<{ id: string; key: string; version: number }>([
    'keys',
    'rotate',
    id,
    '--overlap',
    '1h',
    ...project,
  ])
  assert.deepEqual([rotated.id, rotated.version], [id, 2])
  await ok(['keys', 'end-overlap', id, ...project])
  assert.equal((await berth(['keys', 'revoke', id, ...project])).code, 2)
  assert.match(
    await ok(['keys', 'revoke', id, '--yes', ...project]),
    /In force everywhere \(2 replicas, \d+ ms\)/,
  )
  assert.match(await ok(['keys', 'list', '--all-states', ...project]), /revoked/)
})

test('repositories, tags and manifests are browsed, deleted and restored', async () => {
  const { id } = await json<{ id: string }>(['projects', 'create', 'images'])
  await ok(['contexts', 'set-project', 'images'])
  const image = await pushImage(
    { region: opened.near.control, projectId: id, path: 'team/web' },
    { tags: ['latest', 'v1'], annotations: { note: 'evil \u001b[2J' } },
  )
  assert.match(await ok(['repos', 'list']), /team\/web +near +with a key/)
  assert.match(await ok(['tags', 'list', 'team/web']), /^TAG.*\nlatest +sha256:[0-9a-f]{12} .*\nv1 /)
  const shown = await ok(['manifests', 'show', 'team/web:latest'])
  assert.match(shown, /Platform: +linux\/amd64/)
  assert.match(shown, /note: +evil �\[2J/)
  assert.equal((await berth(['tags', 'delete', 'team/web:v1'])).code, 2)
  await ok(['tags', 'delete', 'team/web:v1', '--yes'])
  assert.match(await ok(['tags', 'history', 'team/web:v1']), /\(deleted\)/)
  assert.match(await ok(['tags', 'undelete', 'team/web:v1']), /version 3/)
  await ok(['manifests', 'delete', `team/web@${image.digest}`, '--yes'])
  assert.match(await ok(['manifests', 'list', 'team/web', '--trashed']), /sha256:/)
  await ok(['manifests', 'undelete', `team/web@${image.digest}`])
  assert.match(await ok(['usage', 'show']), /near +[\d.]+ K?i?B/)
  assert.match(await ok(['usage', 'repos']), /team\/web/)
  await ok(['repos', 'delete', 'team/web', '--yes'])
  assert.equal((await berth(['tags', 'show', 'team/web:latest'])).code, 3)
  assert.match(await ok(['audit', 'list', '--action', 'repository']), /repository\.delete/)
})

test('a project is deleted only with --yes or its name typed', async () => {
  await ok(['projects', 'create', 'doomed'])
  const refused = await berth(['projects', 'delete', 'doomed'], { input: 'doomed\n' })
  assert.equal(refused.code, 2)
  assert.match(refused.stderr, /Add --yes to go on/)
  await ok(['projects', 'delete', 'doomed', '--yes'])
  const gone = await berth(['projects', 'show', 'doomed', '--json'])
  assert.equal(gone.code, 3)
  const { error } = JSON.parse(gone.stderr) as {
    error: { code: string; exitCode: number; requestId: string }
  }
  assert.deepEqual([error.code, error.exitCode], ['project_not_found', 3])
})

test('lists follow pages, and say when there is more', async () => {
  for (const name of ['list a', 'list b', 'list c']) await ok(['projects', 'create', name])
  const cut = await berth(['projects', 'list', '--limit', '2'])
  assert.equal(cut.stdout.trim().split('\n').length, 3)
  assert.match(cut.stderr, /Only the first 2 are shown/)
  const all = await json<{ items: unknown[]; nextCursor: null }>(['projects', 'list', '--all'])
  assert.ok(all.items.length >= 3)
  assert.equal((await berth(['projects', 'list', '--limit', 'many'])).code, 2)
})

test('garbage collection, regions and registries', async () => {
  assert.match(await ok(['gc', 'status']), /near +idle/)
  assert.match(
    await ok(['gc', 'run', '--dry-run', '--region', 'far']),
    /far: looked at 2, would remove 1\.[^]*no repository/,
  )
  assert.match(await ok(['gc', 'run']), /near: done\. Looked at 2\./)
  assert.match(await ok(['regions', 'list']), /near +Near +near\.example:5000\nfar +Far Away +far\.example/)
  assert.match((await berth(['regions', 'list'])).stderr, /^registry\.example leads to the home region/)
  await ok(['projects', 'create', 'registries'])
  assert.match(
    await ok(['registries', 'list', '--project', 'registries']),
    /Berth Registry \(Near\) +managed/,
  )
})

test('mistakes of the command line are told with exit code 2', async () => {
  const cases: [string[], RegExp][] = [
    [['nonsense'], /unknown command 'nonsense'/],
    [['projekts', 'list'], /Did you mean projects\?/],
    [['projects', 'list', '--colour'], /unknown option '--colour'/],
    [['projects', 'rename', 'x'], /missing required argument 'name'/],
    [['tags', 'show', 'web'], /must be <repository>:<tag>/],
    [['manifests', 'delete', 'web:latest'], /must be <repository>@<digest>/],
    [['keys', 'create', 'x', '--project', 'p', '--expires', 'soon'], /no duration/],
    [['keys', 'create', 'x', '--project', 'p', '--actions', 'own'], /choose from pull, push, delete/],
    [['projects', 'list', '--context', 'elsewhere'], /There is no context "elsewhere"/],
    [['completion', 'tcsh'], /not one of bash, zsh, fish/],
    [['login', 'ftp://x y'], /not the address of a console/],
  ]
  for (const [args, message] of cases) {
    const { code, stderr } = await berth(args)
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, message)
  }
})

test('fields that the console refuses are named', async () => {
  const { code, stderr } = await berth(['projects', 'create', 'x', '--namespace', 'Not Valid'])
  assert.equal(code, 1)
  assert.match(stderr, /error: The console refused the request:\n {2}- namespace must be 2 to 63 of/)
  assert.match(stderr, /request id: [0-9a-f]{24}\n$/)
})

test('without a context the environment names console, token and project', async () => {
  const env = { XDG_CONFIG_HOME: join(home, 'nowhere') }
  const denied = await berth(['whoami'], { env: { ...env, BERTH_CONSOLE_URL: opened.baseUrl } })
  assert.equal(denied.code, 4)
  const all = {
    ...env,
    BERTH_CONSOLE_URL: opened.baseUrl,
    BERTH_TOKEN: OPERATOR_TOKEN,
    BERTH_PROJECT: 'web-shop',
  }
  assert.match(await ok(['projects', 'show'], { env: all }), /web-shop/)
  const unreachable = await berth(['whoami'], { env: { ...env, BERTH_CONSOLE_URL: 'http://127.0.0.1:1' } })
  assert.equal(unreachable.code, 1)
  assert.match(unreachable.stderr, /Check the address/)
})

test("a context's token is not sent to another console", async () => {
  const { code } = await berth(['whoami'], {
    env: { BERTH_CONSOLE_URL: opened.baseUrl.replace('127.0.0.1', 'localhost') },
  })
  assert.equal(code, 4)
})

test('logout forgets the token', async () => {
  const env = { XDG_CONFIG_HOME: join(home, 'leaving') }
  await ok(['login', opened.baseUrl, '--name', 'mine', '--token'], { input: OPERATOR_TOKEN, env })
  await ok(['logout'], { env })
  assert.doesNotMatch(
    await readFile(join(home, 'leaving', 'berth', 'config.json'), 'utf8'),
    new RegExp(OPERATOR_TOKEN),
  )
  assert.equal((await berth(['logout'], { env })).code, 0)
})

test('a damaged file of contexts is told, and not overwritten', async () => {
  const folder = join(home, 'damaged')
  const env = { XDG_CONFIG_HOME: folder }
  await ok(['login', opened.baseUrl, '--token'], { input: OPERATOR_TOKEN, env })
  const file = join(folder, 'berth', 'config.json')
  await writeFile(file, '{"contexts":')
  const { code, stderr } = await berth(['whoami'], { env })
  assert.equal(code, 1)
  assert.match(stderr, /config\.json is damaged/)
  assert.equal(await readFile(file, 'utf8'), '{"contexts":')
})

test('a process ends with the exit code of what it did, and its answer in the right stream', async () => {
  const created = await spawnBerth(['projects', 'create', 'Of A Process', '--json'])
  assert.deepEqual([created.code, created.stderr], [0, ''])
  assert.equal((JSON.parse(created.stdout) as { namespace: string }).namespace, 'of-a-process')
  const missing = await spawnBerth(['projects', 'show', 'nobody'])
  assert.deepEqual([missing.code, missing.stdout], [3, ''])
  const wrong = await spawnBerth(['projects', 'show', '--wrong'])
  assert.deepEqual([wrong.code, wrong.stdout], [2, ''])
  const refused = await spawnBerth(['projects', 'delete', 'of-a-process'], { input: 'of-a-process\n' })
  assert.equal(refused.code, 2)
  const deleted = await spawnBerth(['projects', 'delete', 'of-a-process', '--yes'])
  assert.equal(deleted.code, 0)
  const denied = await spawnBerth(['whoami'], { env: { BERTH_TOKEN: 'wrong' } })
  assert.deepEqual([denied.code, denied.stdout], [4, ''])
})

test('help and version work without a console', async () => {
  assert.match(await ok(['--help']), /^Usage: berth/)
  assert.match(await ok(['keys', 'create', '--help']), /Global Options:[^]*--json/)
  assert.match(await ok(['version']), /^berth \d+\.\d+\.\d+/)
})

test('completion proposes commands, sub-commands and options in bash', async () => {
  const script = await ok(['completion', 'bash'])
  const propose = (...words: string[]) => {
    const array = words.map((word) => `'${word}'`).join(' ')
    const line = `${script}\nCOMP_WORDS=(${array}); COMP_CWORD=${words.length - 1}; _berth; echo "\${COMPREPLY[@]}"`
    const { stdout, stderr, status } = spawnSync('bash', ['-c', line], { encoding: 'utf8' })
    assert.equal(status, 0, stderr)
    return stdout.trim().split(' ')
  }
  assert.deepEqual(propose('berth', 'pro'), ['projects'])
  assert.deepEqual(propose('berth', 'keys', 'r'), ['revoke', 'rotate'])
  assert.ok(propose('berth', 'keys', '').includes('rotate'))
  assert.deepEqual(propose('berth', 'keys', 'create', '--act'), ['--actions'])
  assert.ok(propose('berth', '--json', 'tags', '').includes('undelete'))
  for (const shell of ['zsh', 'fish']) assert.match(await ok(['completion', shell]), /berth/)
})

test('a reader that goes away early is no error', async () => {
  const child = spawn(process.execPath, [MAIN, 'completion', 'fish'], { env: environment() })
  // Long before the process has started to write.
  child.stdout.destroy()
  const err = text(child.stderr)
  const [code] = (await once(child, 'close')) as [number | null]
  assert.deepEqual([code, await err], [0, ''])
})
