// @tier full
// @needs oras
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Descriptor } from '../support/layout.ts'
import { type CommandResult, runCommand, temporaryFolder } from '../support/process.ts'
import { readImage, resolveTag } from '../support/read-image.ts'
import { findTool } from '../support/tools.ts'
import { useBerth } from '../support/use-berth.ts'

/*
 * oras-go, the library under oras and helm: artifacts, what is attached to them, and finding that again.
 */

const berth = useBerth()
const folder = temporaryFolder('oras')
const types = { model: 'application/vnd.example.model', sbom: 'application/spdx+json', note: 'text/x.note' }

before(() => berth.start())
after(() => folder.remove())

test('files are pushed as an artifact and pulled again, byte for byte', async () => {
  const weights = file('weights.bin', Buffer.alloc(3_000_000, 'weights'))
  const card = file('card.md', '# a model\n')
  const pushed = await oras<Descriptor>('push', 'models/tiny:1', types.model, weights, card)
  const stored = await readImage(berth.source('models/tiny'), '1')
  assert.equal(stored.digest, pushed.digest)
  assert.equal(JSON.parse(stored.content.toString()).artifactType, types.model)

  const target = join(folder.path, 'pulled')
  mkdirSync(target)
  const pulled = await oras<Descriptor>('pull', `models/tiny@${pushed.digest}`, target)
  assert.equal(pulled.digest, pushed.digest)
  assert.deepEqual(readFileSync(join(target, 'weights.bin')), readFileSync(weights))
  assert.equal(readFileSync(join(target, 'card.md'), 'utf8'), '# a model\n')
})

test('what is attached to an artifact is found again, all of it or by its type', async () => {
  const sboms: string[] = []
  for (const n of [1, 2]) {
    const path = file(`sbom-${n}.json`, JSON.stringify({ spdxVersion: 'SPDX-2.3', name: `sbom ${n}` }))
    sboms.push((await oras<Descriptor>('attach', 'models/tiny:1', types.sbom, path)).digest)
  }
  const note = await oras<Descriptor>('attach', 'models/tiny:1', types.note, file('note.txt', 'checked'))
  const all = await oras<Descriptor[]>('discover', 'models/tiny:1')
  assert.deepEqual(digests(all), [...sboms, note.digest].sort())
  const found = await oras<Descriptor[]>('discover', 'models/tiny:1', types.sbom)
  assert.deepEqual(digests(found), sboms.sort())
  assert.deepEqual(new Set(found.map((entry) => entry.artifactType)), new Set([types.sbom]))
  const none = await oras<Descriptor[]>('discover', 'models/tiny:1', 'application/vnd.example.none')
  assert.deepEqual(none, [])
})

test('a copy with everything attached brings the referrers along', async () => {
  await oras('copy', 'models/tiny:1', berth.reference('released/tiny:1'))
  const there = await oras<Descriptor[]>('discover', 'released/tiny:1')
  assert.deepEqual(digests(there), digests(await oras<Descriptor[]>('discover', 'models/tiny:1')))
  for (const digest of digests(there)) await readImage(berth.source('released/tiny'), digest)
})

test('without the right key nothing is pushed', async () => {
  const readOnly = await berth.server.createKey(berth.project.id, { actions: ['pull'] })
  const path = file('refused.txt', 'refused')
  for (const password of ['wrong', readOnly.key]) {
    const refused = await run(['push', berth.reference('models/refused:1'), types.note, path], password)
    assert.notEqual(refused.code, 0)
    assert.match(refused.stderr, /denied|unauthorized|401|403/i)
  }
  assert.equal(await resolveTag(berth.source('models/refused'), '1'), null)
})

/** Runs one command of the program on a repository of the project; answers what it printed. */
async function oras<T = unknown>(command: string, pathAndTag: string, ...rest: string[]): Promise<T> {
  const result = await run([command, berth.reference(pathAndTag), ...rest], berth.key.key)
  assert.equal(result.code, 0, result.stderr)
  return JSON.parse(result.stdout) as T
}

function run(args: readonly string[], password: string): Promise<CommandResult> {
  return runCommand(findTool('oras') as string, args, {
    env: { ...process.env, ORAS_USERNAME: 'api', ORAS_PASSWORD: password },
    allowFailure: true,
  })
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder.path, name)
  writeFileSync(path, content)
  return path
}

function digests(descriptors: readonly Descriptor[]): string[] {
  return descriptors.map(({ digest }) => digest).sort()
}
