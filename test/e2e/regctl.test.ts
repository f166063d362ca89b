// @tier full
// @needs regctl
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { putArtifact, putImage, putIndex } from '../support/images.ts'
import { createLayout, type Descriptor, type Layout } from '../support/layout.ts'
import { type CommandResult, runCommand, temporaryFolder } from '../support/process.ts'
import { readImage, resolveTag } from '../support/read-image.ts'
import { findTool } from '../support/tools.ts'
import { useBerth } from '../support/use-berth.ts'

const berth = useBerth()
const folder = temporaryFolder('regctl')
const types = {
  sbom: 'application/spdx+json',
  signature: 'application/vnd.dev.cosign.artifact.sig.v1+json',
}
let layout: Layout
let image: Descriptor
let index: Descriptor

before(async () => {
  await berth.start()
  layout = createLayout(join(folder.path, 'layout'))
  image = putImage(layout, { seed: 'regctl', tag: 'image' })
  index = putIndex(layout, { seed: 'regctl', tag: 'index' })
  await regctl(['registry', 'set', '--tls', 'disabled', berth.host])
})

after(() => folder.remove())

test('login is checked at once, and a copy keeps the digest', async () => {
  const login = ['registry', 'login', '--user', 'api', '--pass-stdin', berth.host]
  const refused = await regctl(login, { stdin: 'wrong', allowFailure: true })
  assert.match(refused.stdout + refused.stderr, /unauthorized/i)
  await regctl(login, { stdin: berth.key.key })
  for (const [name, digest] of [
    ['image', image.digest],
    ['index', index.digest],
  ] as const) {
    await regctl(['image', 'copy', `ocidir://${layout.path}:${name}`, berth.reference(`app:${name}`)])
    assert.equal((await readImage(berth.source('app'), name)).digest, digest)
    assert.equal((await regctl(['image', 'digest', berth.reference(`app:${name}`)])).stdout.trim(), digest)
  }
})

test('signatures and SBOMs are attached to an image, listed, and read back', async () => {
  const subject = berth.reference('app:image')
  const put = ['artifact', 'put', '--subject', subject, '--artifact-type']
  const signature = '{"critical":{"type":"cosign container image signature"}}'
  await regctl([...put, types.signature], { stdin: signature })
  const sbom = '{"spdxVersion":"SPDX-2.3"}'
  await regctl([...put, types.sbom, '--annotation', 'org.example.tool=test'], { stdin: sbom })

  const all = await listReferrers(subject)
  assert.deepEqual(new Set(all.map((entry) => entry.artifactType)), new Set([types.sbom, types.signature]))
  const sboms = await listReferrers(subject, '--filter-artifact-type', types.sbom)
  assert.equal(sboms.length, 1)
  assert.equal(sboms[0]?.annotations?.['org.example.tool'], 'test')
  const read = await regctl(['artifact', 'get', '--subject', subject, '--filter-artifact-type', types.sbom])
  assert.equal(read.stdout, sbom)
  const tree = await regctl(['artifact', 'tree', subject])
  for (const entry of all) assert.match(tree.stdout, new RegExp(entry.digest))
})

test('a signature in a tag beside the image, as cosign keeps it, is one more tag', async () => {
  const tag = `${image.digest.replace(':', '-')}.sig`
  putArtifact(layout, { artifactType: types.signature, content: 'signed', tag: 'signature' })
  await regctl(['image', 'copy', `ocidir://${layout.path}:signature`, berth.reference(`app:${tag}`)])
  await readImage(berth.source('app'), tag)
  const tags = await regctl(['tag', 'ls', berth.reference('app')])
  assert.deepEqual(tags.stdout.trim().split('\n'), ['image', 'index', tag])
})

test('a copy with referrers and digest tags brings all of them along', async () => {
  const copy = ['image', 'copy', '--referrers', '--digest-tags']
  await regctl([...copy, berth.reference('app:image'), berth.reference('released:1')])
  const there = await listReferrers(berth.reference('released:1'))
  const here = await listReferrers(berth.reference('app:image'))
  assert.deepEqual(there.map(({ digest }) => digest).sort(), here.map(({ digest }) => digest).sort())
  for (const { digest } of there) await readImage(berth.source('released'), digest)
  await readImage(berth.source('released'), `${image.digest.replace(':', '-')}.sig`)
})

test('blobs are put, found and read', async () => {
  const content = 'a blob by itself\n'
  const put = await regctl(['blob', 'put', berth.reference('blobs')], { stdin: content })
  const digest = put.stdout.trim()
  const head = await regctl(['blob', 'head', berth.reference('blobs'), digest])
  assert.match(head.stdout, new RegExp(`Content-Length: ${content.length}`, 'i'))
  assert.equal((await regctl(['blob', 'get', berth.reference('blobs'), digest])).stdout, content)
  await regctl(['blob', 'copy', berth.reference('blobs'), berth.reference('more/blobs'), digest])
  assert.equal((await regctl(['blob', 'get', berth.reference('more/blobs'), digest])).stdout, content)
})

test('repo ls lists repositories, tag rm removes one tag', async () => {
  const repositories = await regctl(['repo', 'ls', berth.host])
  assert.deepEqual(repositories.stdout.trim().split('\n'), [
    'acme/app',
    'acme/blobs',
    'acme/more/blobs',
    'acme/released',
  ])
  const { key } = await berth.server.createKey(berth.project.id, { actions: ['pull', 'delete'] })
  await regctl(['registry', 'login', '--user', 'api', '--pass-stdin', berth.host], { stdin: key })
  await regctl(['tag', 'rm', berth.reference('app:index')])
  assert.equal(await resolveTag(berth.source('app'), 'index'), null)
  await readImage(berth.source('app'), index.digest)
  await regctl(['manifest', 'delete', `${berth.reference('app')}@${index.digest}`])
  const gone = await regctl(['manifest', 'head', `${berth.reference('app')}@${index.digest}`], {
    allowFailure: true,
  })
  assert.notEqual(gone.code, 0)
})

async function listReferrers(subject: string, ...filter: string[]): Promise<Descriptor[]> {
  const { stdout } = await regctl(['artifact', 'list', ...filter, '--format', '{{json .}}', subject])
  const list = JSON.parse(stdout) as { descriptors?: Descriptor[] }
  return list.descriptors ?? []
}

function regctl(
  args: readonly string[],
  options: { stdin?: string; allowFailure?: boolean } = {},
): Promise<CommandResult> {
  return runCommand(findTool('regctl') as string, args, {
    ...options,
    env: { ...process.env, REGCTL_CONFIG: join(folder.path, 'config.json'), HOME: folder.path },
  })
}
