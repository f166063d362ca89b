import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { pushImage, pushIndex } from '../../test/support/console/content.ts'
import { OPERATOR_TOKEN, openTestConsole, type TestConsole } from '../../test/support/console/stack.ts'
import type { Io } from './io.ts'
import { run } from './run.ts'

let opened: TestConsole
let home: string
let projectId: string

before(async () => {
  opened = await openTestConsole()
  home = await mkdtemp(join(tmpdir(), 'berth-cli-'))
  const body = { name: 'House', namespace: 'house' }
  projectId = (await opened.client.call('projects.create', { body })).id
  assert.equal((await berth(['login', opened.baseUrl, '--token'], `${OPERATOR_TOKEN}\n`)).code, 0)
})
after(async () => {
  await opened.close()
  await rm(home, { recursive: true })
})

async function berth(args: readonly string[], input?: string) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const [out, err] = [text(stdout), text(stderr)]
  const code = await run(args, {
    stdin: Readable.from(input === undefined ? [] : [input]) as unknown as Io['stdin'],
    stdout: stdout as unknown as Io['stdout'],
    stderr: stderr as unknown as Io['stderr'],
    env: { XDG_CONFIG_HOME: home, BERTH_PROJECT: 'house' },
    nowMs: () => Date.now(),
  })
  stdout.end()
  stderr.end()
  return { code, stdout: await out, stderr: await err }
}

async function ok(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await berth(args)
  assert.equal(code, 0, `berth ${args.join(' ')}\n${stdout}\n${stderr}`)
  return stdout
}

const near = (path: string) => ({ region: opened.near.control, projectId, path })

test('tags are made immutable, one rule after the other, and free again', async () => {
  assert.equal(
    await ok(['policies', 'immutable', 'v*', '!v0*', '--repos', 'web']),
    'Immutable tags: v*, !v0* in web\n',
  )
  const both = await ok(['policies', 'immutable', 'release-*', '--add'])
  assert.equal(both, 'Immutable tags: v*, !v0* in web\nImmutable tags: release-* in **\n')
  await pushImage(near('web'), { tags: ['v1', 'v0'] })
  const refused = await berth(['tags', 'delete', 'web:v1', '--yes'])
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /"v1" is immutable/)
  assert.match(await ok(['tags', 'show', 'web:v1']), /Immutable: +yes/)
  assert.equal((await berth(['policies', 'immutable'])).code, 2)
  assert.equal((await berth(['policies', 'immutable', 'v*', '--none'])).code, 2)
  assert.equal(await ok(['policies', 'immutable', '--none']), 'Immutable tags: none.\n')
  await ok(['tags', 'delete', 'web:v1', '--yes'])
  await ok(['tags', 'undelete', 'web:v1'])
})

test('retention rules are added, looked at, previewed and applied', async () => {
  for (const tag of ['one', 'two', 'three']) await pushImage(near('app'), { tags: [tag] })
  const added = await ok([
    'retention',
    'add',
    'Last',
    '--repos',
    'app',
    '--keep-last',
    '2',
    '--keep-pulled',
    '14d',
  ])
  assert.match(added, /Last +app +\* +the last 2, pulled within 14d/)
  await ok(['retention', 'untagged', '30d', '--repos', 'app'])
  assert.match(await ok(['retention', 'show']), /Untagged manifests in app go after 30 days/)
  for (const wrong of [
    ['retention', 'add', 'Nothing'],
    ['retention', 'add', 'Hours', '--keep-pushed', '12h'],
    ['retention', 'remove', 'Other'],
  ])
    assert.notEqual((await berth(wrong)).code, 0, wrong.join(' '))
  const preview = await ok(['retention', 'preview', '--removed'])
  assert.match(preview, /app +one .* REMOVE +Last +not among the last 2, pushed today/)
  assert.doesNotMatch(preview, /three/)
  assert.match(
    await ok(['retention', 'run', '--dry-run']),
    /near: would remove 1 tags and 1 manifests, keep 2 tags/,
  )
  assert.match(await ok(['retention', 'run', '--yes']), /near: removed 1 tags and 1 manifests\./)
  assert.match(await ok(['retention', 'show']), /near: done just now, removed 1 tags and 1 manifests\./)
  assert.match(await ok(['trash', 'list', 'app']), /sha256:.* image +one +just now +in 7 days/)
  await ok(['retention', 'clear'])
  assert.match(await ok(['policies', 'show']), /no rules, everything is kept/)
})

test('a deletion says what it frees, and what was deleted comes back with its tags', async () => {
  const image = await pushImage(near('bin'))
  const index = await pushIndex(near('bin'), [image], ['latest'])
  const name = `bin@${index.digest}`
  assert.match(
    await ok(['manifests', 'show', name]),
    /Freed if deleted: .* with the 1 manifests that only it needs/,
  )
  const asked = await berth(['manifests', 'delete', name])
  assert.match(asked.stderr, /and its tags latest, and frees \d+ B\. With --with-parts: [\d.]+ (B|KiB)\./)
  assert.match(
    await ok(['manifests', 'delete', name, '--with-parts', '--yes']),
    /, 1 parts and the tags latest\./,
  )
  assert.match(await ok(['repos', 'show', 'bin']), /Freed if deleted: +0 B/)
  assert.match(await ok(['trash', 'restore', name]), /is back with latest\./)
  assert.match(await ok(['usage', 'show']), /TRASH/)
  assert.match(await ok(['usage', 'repos']), /FREED IF DELETED/)
  assert.match((await berth(['gc', 'purge'])).stderr, /in the trash of house for good/)
  assert.match(await ok(['gc', 'purge', '--region', 'far', '--yes']), /^far: removed /)
})

const GUIDE = new URL('../../docs/guides/housekeeping.md', import.meta.url)

/** The commands of the guide, without their comments. */
async function guideCommands(): Promise<string[]> {
  const lines = (await readFile(GUIDE, 'utf8')).split('\n')
  return lines.filter((line) => line.startsWith('berth ')).map((line) => line.replace(/\s+#.*$/, ''))
}

test('every command of the guide does what it says', async () => {
  const web = await pushImage(near('web'), { tags: ['latest', 'v1', 'old', 'pr-1'] })
  await pushImage(near('old'), { tags: ['a'] })
  const commands = await guideCommands()
  assert.ok(commands.length > 20)
  for (const command of commands) {
    const params = { project: 'house', repository: 'web' }
    if (command.startsWith('berth trash restore'))
      await opened.client.call('manifests.delete', { params: { ...params, reference: web.digest } })
    if (command.startsWith('berth tags undelete'))
      await opened.client.call('tags.delete', { params: { ...params, tag: 'v1' } })
    if (command.includes('--with-parts'))
      await opened.client.call('manifests.undelete', { params: { ...params, reference: web.digest } })
    const text = command.replace('sha256:…', web.digest)
    const args = [...text.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '')
    await ok([...args.slice(1), '--yes'])
  }
})
