import fc from 'fast-check'
import type { Action } from './access-model.ts'
import {
  mount,
  pushComplete,
  pushManifest,
  read,
  readRange,
  remove,
  removeRepository,
  type Thing,
  undelete,
} from './content-steps.ts'
import { BLOBS, FILTERS, MANIFESTS, type PoolManifest, REPOSITORIES, TAGS } from './content.ts'
import { checkContent, checkTags, checkUsage } from './invariants.ts'
import { createKey, fetchToken, revoke, rotateKey } from './key-steps.ts'
import { listReferrers, listRepositories, listTags } from './list-steps.ts'
import { ATTEMPT_COUNT, peek } from './peek.ts'
import {
  askUpload,
  cancelUpload,
  finishUpload,
  PUSH_METHODS,
  pushBlob,
  revokeMidUpload,
  sendChunk,
  startUpload,
} from './upload-steps.ts'
import { type Actor, makeKey, projectAt, repositoryAt, resolve, revokeKey, type World } from './world.ts'

const HOUR_MS = 3_600_000
/** Beyond a token, a lease and a time in the trash, and far from the edges of each. */
const ADVANCES_MS = [20 * 60_000, 3 * HOUR_MS, 25 * HOUR_MS, 8 * 24 * HOUR_MS]
/** From none to all that the pool can take. */
const QUOTAS_BYTES = [null, null, 0, 20_000, 80_000, 1_200_000, 10_000_000]
const ACTION_LISTS: readonly (readonly Action[])[] = [
  ['pull'],
  ['pull', 'push'],
  ['delete'],
  ['pull', 'push', 'delete'],
]

type Command = fc.AsyncCommand<World, World>

/** A command with drawn parameters, which a failure shows. */
class Step<Params> implements Command {
  readonly #name: string
  readonly #params: Params
  readonly #act: (world: World, params: Params) => Promise<void>

  constructor(name: string, params: Params, act: (world: World, params: Params) => Promise<void>) {
    this.#name = name
    this.#params = params
    this.#act = act
  }

  check({ isOver }: World): boolean {
    return !isOver()
  }

  async run(world: World): Promise<void> {
    await this.#act(world, this.#params)
  }

  toString(): string {
    return `${this.#name}(${JSON.stringify(this.#params)})`
  }
}

function step<Params>(
  name: string,
  params: { [Name in keyof Params]: fc.Arbitrary<Params[Name]> },
  act: (world: World, params: Params) => Promise<void>,
  weight = 1,
): fc.Arbitrary<Command>[] {
  const made = fc.record(params).map((drawn) => new Step(name, drawn as Params, act))
  return Array.from({ length: weight }, () => made)
}

const actor: fc.Arbitrary<Actor> = fc.record({
  project: fc.nat(1),
  credential: fc.nat(400),
  isForeign: fc.oneof(
    { arbitrary: fc.constant(false), weight: 14 },
    { arbitrary: fc.constant(true), weight: 1 },
  ),
})
const project = fc.nat(1)
const path = fc.nat(REPOSITORIES.length - 1)
const blobIndex = fc.nat(BLOBS.length - 1)
const tagIndex = fc.nat(TAGS.length - 1)
const manifest = fc.nat(MANIFESTS.length - 1)
const method = fc.constantFrom(...PUSH_METHODS)
const tagging = fc.constantFrom('digest' as const, 'tag' as const, 'query' as const)
const pageSize = fc.integer({ min: 1, max: 4 })
const thing: fc.Arbitrary<Thing> = fc.oneof(
  tagIndex.map((index): Thing => ({ kind: 'tag', tag: TAGS[index] as string })),
  manifest.map((index): Thing => ({ kind: 'manifest', digest: manifestAt(index).digest })),
  blobIndex.map((index): Thing => ({ kind: 'blob', digest: BLOBS[index]?.digest ?? '' })),
)
const deletable = thing.filter(({ kind }) => kind !== 'blob')
const upload = fc.nat(20)

function manifestAt(index: number): PoolManifest {
  return MANIFESTS[index % MANIFESTS.length] as PoolManifest
}

const pushes: fc.Arbitrary<Command>[] = [
  ...step(
    'pushBlob',
    { actor, path, blobIndex, method },
    async (world, p) => {
      const who = await resolve(world, p.actor)
      await pushBlob(world, who, { path: repositoryAt(p.path), blobIndex: p.blobIndex }, p.method)
      await checkUsage(world, who.target)
    },
    2,
  ),
  ...step(
    'pushComplete',
    { actor, path, manifest, method, tagging, tagIndex },
    async (world, p) => {
      const who = await resolve(world, p.actor)
      await pushComplete(world, who, repositoryAt(p.path), manifestAt(p.manifest), p)
      await checkTags(world, who.target, repositoryAt(p.path))
      await checkUsage(world, who.target)
    },
    6,
  ),
  ...step(
    'pushManifest',
    { actor, path, manifest, tagging, tagIndex },
    async (world, p) => {
      const who = await resolve(world, p.actor)
      await pushManifest(world, who, repositoryAt(p.path), manifestAt(p.manifest), p)
      await checkTags(world, who.target, repositoryAt(p.path))
      await checkUsage(world, who.target)
    },
    2,
  ),
  ...step(
    'pushAgain',
    { actor, path, which: fc.nat(20), tagging, tagIndex },
    async (world, p) => {
      const who = await resolve(world, p.actor)
      const name = repositoryAt(p.path)
      const live = at(who.target.model.repositories.get(name)?.liveManifests() ?? [], p.which)
      if (live === undefined) return
      await pushManifest(world, who, name, live, p)
      await checkTags(world, who.target, name)
      await checkUsage(world, who.target)
    },
    3,
  ),
  ...step(
    'mount',
    { actor, path, blobIndex, from: fc.nat(REPOSITORIES.length), other: fc.boolean() },
    async (world, p) => {
      const who = await resolve(world, p.actor)
      const from = p.other ? projectAt(world, p.actor.project + 1) : who.target
      const source = p.from === REPOSITORIES.length ? null : { path: repositoryAt(p.from), project: from }
      await mount(world, who, { path: repositoryAt(p.path), blobIndex: p.blobIndex, source })
      await checkUsage(world, who.target)
    },
    3,
  ),
]

const uploads: fc.Arbitrary<Command>[] = [
  ...step(
    'startUpload',
    { actor, path, blobIndex },
    async (world, p) => {
      const who = await resolve(world, p.actor)
      await startUpload(world, who, { path: repositoryAt(p.path), blobIndex: p.blobIndex })
    },
    2,
  ),
  ...step(
    'sendChunk',
    {
      actor,
      upload,
      lengthBytes: fc.constantFrom(0, 1, 100, 8_000, 16_384, 40_000, 2_000_000),
      isStreamed: fc.boolean(),
      offsetShiftBytes: fc.constantFrom(undefined, undefined, 0, 1),
    },
    async (world, p) => {
      const who = await resolve(world, p.actor)
      const found = at(who.target.model.uploads, p.upload)
      const { offsetShiftBytes, ...chunk } = p
      if (found === undefined) return
      await sendChunk(
        world,
        who,
        found,
        offsetShiftBytes === undefined ? chunk : { ...chunk, offsetShiftBytes },
      )
      await checkUsage(world, who.target)
    },
    3,
  ),
  ...step(
    'finishUpload',
    { actor, upload, isWhole: fc.nat(4).map((n) => n > 0) },
    async (world, p) => {
      const who = await resolve(world, p.actor)
      const found = at(who.target.model.uploads, p.upload)
      if (found !== undefined) await finishUpload(world, who, found, p)
      await checkUsage(world, who.target)
    },
    2,
  ),
  ...step('askUpload', { actor, upload, isCancelled: fc.boolean() }, async (world, p) => {
    const who = await resolve(world, p.actor)
    const found = at(who.target.model.uploads, p.upload)
    if (found === undefined) return
    await askUpload(world, who, found)
    if (p.isCancelled) await cancelUpload(world, who, found)
  }),
]

function at<Item>(items: readonly Item[], index: number): Item | undefined {
  return items.length === 0 ? undefined : items[index % items.length]
}

const deletes: fc.Arbitrary<Command>[] = [
  ...step(
    'remove',
    { actor, path, thing },
    async (world, p) => {
      const who = await resolve(world, p.actor)
      await remove(world, who, repositoryAt(p.path), p.thing)
      await checkTags(world, who.target, repositoryAt(p.path))
      await checkUsage(world, who.target)
    },
    4,
  ),
  ...step(
    'removeUsed',
    { actor, path, which: fc.nat(20), kind: fc.constantFrom('blob' as const, 'manifest' as const) },
    async (world, p) => {
      const who = await resolve(world, p.actor)
      const name = repositoryAt(p.path)
      const live = who.target.model.repositories.get(name)?.liveManifests() ?? []
      const used = live.flatMap(({ blobs, children }) => (p.kind === 'blob' ? blobs : children))
      const digest = at(used, p.which)
      if (digest === undefined) return
      await remove(world, who, name, { kind: p.kind, digest })
      await checkTags(world, who.target, name)
    },
    2,
  ),
  ...step(
    'undelete',
    { project, path, thing: deletable },
    async (world, p) => {
      const target = projectAt(world, p.project)
      await undelete(world, target, repositoryAt(p.path), p.thing)
      await checkTags(world, target, repositoryAt(p.path))
      await checkUsage(world, target)
    },
    3,
  ),
  ...step('removeRepository', { project, path }, async (world, p) => {
    const target = projectAt(world, p.project)
    await removeRepository(world, target, repositoryAt(p.path))
    await checkTags(world, target, repositoryAt(p.path))
    await checkUsage(world, target)
  }),
]

const reads: fc.Arbitrary<Command>[] = [
  ...step(
    'read',
    { actor, path, thing, method: fc.constantFrom('GET' as const, 'HEAD' as const) },
    async (world, p) => {
      await read(world, await resolve(world, p.actor), repositoryAt(p.path), p.thing, p.method)
    },
    3,
  ),
  ...step(
    'readRange',
    {
      actor,
      path,
      blobIndex,
      start: fc.constantFrom(0, 1, 299, 300, 16_384, 59_999),
      lengthBytes: fc.integer({ min: 1, max: 70_000 }),
    },
    async (world, p) => {
      await readRange(world, await resolve(world, p.actor), repositoryAt(p.path), p.blobIndex, p)
    },
  ),
  ...step('listTags', { actor, path, pageSize }, async (world, p) => {
    await listTags(world, await resolve(world, p.actor), repositoryAt(p.path), p.pageSize)
  }),
  ...step('listRepositories', { actor, pageSize }, async (world, p) => {
    await listRepositories(world, await resolve(world, p.actor), p.pageSize)
  }),
  ...step(
    'listReferrers',
    { actor, path, manifest, artifactType: fc.option(fc.constantFrom(...FILTERS)), pageSize },
    async (world, p) => {
      const subject = manifestAt(p.manifest).digest
      const query = { path: repositoryAt(p.path), subject, artifactType: p.artifactType }
      await listReferrers(world, await resolve(world, p.actor), query, p.pageSize)
    },
  ),
  ...step(
    'peek',
    { actor, attempt: fc.nat(ATTEMPT_COUNT - 1), repository: path, content: fc.nat(20) },
    async (world, p) => {
      await peek(world, await resolve(world, p.actor), p)
    },
  ),
]

const accesses: fc.Arbitrary<Command>[] = [
  ...step('createKey', { project, kind: fc.nat(3) }, async (world, p) => {
    await createKey(world, projectAt(world, p.project), p.kind)
  }),
  ...step(
    'rotateKey',
    { project, key: fc.nat(20), overlapSeconds: fc.constantFrom(0, 7200) },
    async (world, p) => {
      await rotateKey(world, projectAt(world, p.project), p.key, p.overlapSeconds)
    },
  ),
  ...step('revoke', { project, key: fc.nat(20) }, async (world, p) => {
    await revoke(world, projectAt(world, p.project), p.key)
  }),
  ...step(
    'fetchToken',
    { actor, actions: fc.constantFrom(...ACTION_LISTS), repositories: fc.nat(3) },
    async (world, p) => {
      const who = await resolve(world, { ...p.actor, isForeign: false })
      await fetchToken(world, who, who.target, p)
    },
    2,
  ),
  ...step(
    'revokeMidUpload',
    { project, path, blobIndex: fc.integer({ min: 2, max: BLOBS.length - 1 }), isAtOnce: fc.boolean() },
    async (world, p) => {
      const target = projectAt(world, p.project)
      const key = await makeKey(world.server, target.model, ['pull', 'push'])
      target.keys.push(key)
      const revokeNow = (): Promise<void> => revokeKey(world.server, key)
      const place = { path: repositoryAt(p.path), blobIndex: p.blobIndex }
      await revokeMidUpload(world, target, key, place, { isAtOnce: p.isAtOnce, revoke: revokeNow })
      await checkUsage(world, target)
    },
  ),
]

const conditions: fc.Arbitrary<Command>[] = [
  ...step(
    'advance',
    { byMs: fc.constantFrom(...ADVANCES_MS), collects: fc.nat(3).map((n) => n > 0) },
    async (world, p) => {
      world.server.advance(p.byMs)
      if (p.collects) await collect(world)
    },
    3,
  ),
  ...step('collect', {}, (world) => collect(world)),
  ...step(
    'setQuota',
    { project, quotaBytes: fc.constantFrom(...QUOTAS_BYTES) },
    async (world, p) => {
      const { model } = projectAt(world, p.project)
      await world.server.console.call('projects.update', {
        params: { project: model.id },
        body: { quotaBytes: p.quotaBytes },
      })
      model.quotaBytes = p.quotaBytes
    },
    2,
  ),
]

// A start takes longer than all the other commands of a sequence together, so most of them are left out.
const restart = step('restart', { isDone: fc.nat(3).map((n) => n === 0) }, async (world, { isDone }) => {
  if (!isDone) return
  await world.server.restart()
  await checkEverything(world)
})

async function collect(world: World): Promise<void> {
  await world.server.collect()
  for (const { model } of world.projects) model.collect()
  await checkEverything(world)
}

/** The same images in both projects to begin with, so that the first commands find something. */
export async function prime(world: World): Promise<void> {
  const nested = MANIFESTS.findLastIndex(({ children }) => children.length > 0)
  for (const index of [0, 1]) {
    const who = await resolve(world, { project: index, credential: 1, isForeign: false })
    const how = { method: 'at once', tagging: 'tag', tagIndex: 0 } as const
    await pushComplete(world, who, repositoryAt(0), manifestAt(nested), how)
  }
}

/** All invariants over both projects. */
export async function checkEverything(world: World): Promise<void> {
  for (const project of world.projects) {
    for (const name of REPOSITORIES) {
      await checkContent(world, project, name)
      await checkTags(world, project, name)
    }
    await checkUsage(world, project)
  }
}

/** Any sequence of commands, at most so many. */
export function commandSequences(maxCommands: number): fc.Arbitrary<Iterable<Command>> {
  const all = [...pushes, ...uploads, ...deletes, ...reads, ...accesses, ...conditions, ...restart]
  return fc.commands(all, { maxCommands, size: 'max' })
}
