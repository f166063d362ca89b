// @tier full
// @needs crane
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { putIndex } from '../support/images.ts'
import { createLayout, type Descriptor } from '../support/layout.ts'
import { type CommandResult, runCommand, temporaryFolder } from '../support/process.ts'
import { readImage, resolveTag } from '../support/read-image.ts'
import { tarArchive } from '../support/tar.ts'
import { findTool } from '../support/tools.ts'
import { useBerth } from '../support/use-berth.ts'

const berth = useBerth()
const folder = temporaryFolder('crane')
const configDir = join(folder.path, 'docker')

before(async () => {
  await berth.start()
  mkdirSync(configDir)
})
after(() => folder.remove())

test('auth login keeps the key, and append makes an image of a tar file', async () => {
  await crane(['auth', 'login', berth.host, '-u', 'api', '--password-stdin'], { stdin: berth.key.key })
  const tar = join(folder.path, 'layer.tar')
  writeFileSync(tar, tarArchive([{ type: 'file', path: 'hello', content: Buffer.from('hello\n') }]))
  const { stdout } = await crane(['append', '--new_layer', tar, '--new_tag', berth.reference('crane/app:1')])
  const stored = await readImage(berth.source('crane/app'), '1')
  assert.equal(stdout.trim(), `${berth.reference('crane/app')}@${stored.digest}`)
  await crane(['validate', '--remote', berth.reference('crane/app:1')])
})

test('digest, manifest, config and blob answer what is stored', async () => {
  const stored = await readImage(berth.source('crane/app'), '1')
  assert.equal((await crane(['digest', berth.reference('crane/app:1')])).stdout.trim(), stored.digest)
  const manifest = await crane(['manifest', berth.reference('crane/app:1')])
  assert.equal(manifest.stdout.trim(), stored.content.toString().trim())
  const config = JSON.parse((await crane(['config', berth.reference('crane/app:1')])).stdout)
  assert.equal(config.rootfs.type, 'layers')
  const { layers } = JSON.parse(manifest.stdout) as { layers: Descriptor[] }
  const exported = await crane(['export', berth.reference('crane/app:1'), '-'])
  assert.match(exported.stdout, /hello/)
  assert.equal(layers.length, 1)
})

test('mutate pushes a new image over its own layers', async () => {
  const target = berth.reference('crane/app:2')
  await crane(['mutate', '--label', 'tier=test', '--tag', target, berth.reference('crane/app:1')])
  const [before, after] = [
    await readImage(berth.source('crane/app'), '1'),
    await readImage(berth.source('crane/app'), '2'),
  ]
  assert.notEqual(after.digest, before.digest)
  const config = JSON.parse((await crane(['config', target])).stdout)
  assert.equal(config.config.Labels.tier, 'test')
})

test('a layout is pushed whole, copied to another repository, and tagged', async () => {
  const layout = createLayout(join(folder.path, 'layout'))
  const index = putIndex(layout, { seed: 'crane', tag: 'index' })
  await crane(['push', '--index', layout.path, berth.reference('crane/index:1')])
  // The pushed index is the layout's own, which holds the tagged one.
  const pushed = await readImage(berth.source('crane/index'), '1')
  assert.ok(pushed.manifests.includes(index.digest))
  await crane(['copy', berth.reference('crane/index:1'), berth.reference('copies/index:1')])
  assert.equal((await readImage(berth.source('copies/index'), '1')).digest, pushed.digest)
  await crane(['tag', berth.reference('copies/index:1'), 'stable'])
  assert.equal(await resolveTag(berth.source('copies/index'), 'stable'), pushed.digest)
})

test('ls and catalog list what there is', async () => {
  const list = await crane(['ls', berth.reference('crane/app')])
  assert.deepEqual(list.stdout.trim().split('\n'), ['1', '2'])
  const catalog = await crane(['catalog', berth.host])
  assert.deepEqual(catalog.stdout.trim().split('\n'), [
    'acme/copies/index',
    'acme/crane/app',
    'acme/crane/index',
  ])
})

test('delete is refused to a key without the right, and then takes the manifest with its tags', async () => {
  const stored = await readImage(berth.source('crane/app'), '2')
  const byDigest = `${berth.reference('crane/app')}@${stored.digest}`
  const refused = await crane(['delete', byDigest], { allowFailure: true })
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /DENIED|UNAUTHORIZED/)
  const { key } = await berth.server.createKey(berth.project.id, { actions: ['pull', 'delete'] })
  await crane(['auth', 'login', berth.host, '-u', 'api', '--password-stdin'], { stdin: key })
  await crane(['delete', byDigest])
  assert.equal(await resolveTag(berth.source('crane/app'), '2'), null)
  await readImage(berth.source('crane/app'), '1')
  await crane(['delete', berth.reference('crane/app:1')])
  assert.equal(await resolveTag(berth.source('crane/app'), '1'), null)
})

test('a wrong key is refused', async () => {
  await crane(['auth', 'login', berth.host, '-u', 'api', '--password-stdin'], { stdin: 'wrong' })
  const refused = await crane(['digest', berth.reference('crane/index:1')], { allowFailure: true })
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /UNAUTHORIZED|unauthorized/)
})

function crane(
  args: readonly string[],
  options: { stdin?: string; allowFailure?: boolean } = {},
): Promise<CommandResult> {
  return runCommand(findTool('crane') as string, args, {
    ...options,
    env: { ...process.env, DOCKER_CONFIG: configDir, HOME: folder.path },
  })
}
