import assert from 'node:assert/strict'
import type { ApiAnswer, Berth } from '../support/berth.ts'
import { type Answer, type Client, errorCode, NoAnswer } from './client.ts'
import { type Blob, bytesOf, makeBlob, makeImage, makeIndex, type Manifest } from './content.ts'
import type { Random } from './random.ts'
import type { Certainty, RepositoryModel } from './repository-model.ts'
import type { SharedTags } from './shared-tags.ts'
import { type OpenUpload, sendBlob, sendChunk, startUpload, uploadMethods } from './uploads.ts'

/** How long the server that runs keeps things. */
export type Periods = { leaseMs: number; trashMs: number }

/** What all writers of a campaign have in common. */
export type World = {
  client: Client
  berth: Pick<Berth, 'api'>
  namespace: string
  projectId: string
  periods: Periods
  shared: SharedTags
  /** Content that several writers push, so that one writer's garbage is another's new blob. */
  commonBlobs: readonly Blob[]
  /** Called for each acknowledged effect. */
  onAcknowledged(): void
}

/** One writer with its own repositories, whose content it knows exactly. */
export type Writer = {
  id: string
  random: Random
  main: RepositoryModel
  side: RepositoryModel
  uploads: OpenUpload[]
  counter: number
}

/** The server's clock and this one's are the same, but times are rounded and may be corrected. */
const clockMarginMs = 250
const tags = ['latest', 'stable', 'v1', 'v2']
const sharedTags = ['shared-a', 'shared-b']
const openUploadsMax = 3

type Step = (world: World, writer: Writer) => Promise<void>

const steps: readonly { weight: number; step: Step }[] = [
  { weight: 8, step: pushImage },
  { weight: 2, step: pushIndex },
  { weight: 3, step: moveTag },
  { weight: 2, step: deleteTag },
  { weight: 2, step: deleteManifest },
  { weight: 2, step: undeleteManifest },
  { weight: 1, step: undeleteTag },
  { weight: 2, step: pushLooseBlob },
  { weight: 2, step: deleteBlob },
  { weight: 2, step: mountImage },
  { weight: 3, step: goOnUploading },
  { weight: 4, step: moveSharedTag },
]
const wheel = steps.flatMap(({ weight, step }) => Array.from({ length: weight }, () => step))

/** Works until a request gets no answer because the server was killed. Throws what must not happen. */
export async function work(world: World, writer: Writer, isOver: () => boolean): Promise<void> {
  try {
    while (!isOver()) await writer.random.pick(wheel)(world, writer)
  } catch (error) {
    if (error instanceof NoAnswer && isOver()) return
    throw error
  }
}

/** Runs one request whose effect is `apply`: certain when acknowledged, open when there is no answer. */
async function effect(
  world: World,
  act: () => Promise<Answer>,
  apply: (certainty: Certainty) => void,
): Promise<Answer> {
  let answer: Answer
  try {
    answer = await act()
  } catch (error) {
    apply('in flight')
    throw error
  }
  if (answer.status >= 200 && answer.status < 300) {
    apply('acknowledged')
    world.onAcknowledged()
  }
  return answer
}

function next(writer: Writer): string {
  writer.counter += 1
  return `${writer.id}/${writer.counter}`
}

function newBlob(world: World, writer: Writer): Blob {
  const { random } = writer
  if (random.chance(0.25)) return random.pick(world.commonBlobs)
  const sizeBytes = random.chance(0.5)
    ? random.integer(1, 16 * 1024)
    : random.chance(0.85)
      ? random.integer(16 * 1024 + 1, 150_000)
      : random.integer(1_000_000, 3_000_000)
  return makeBlob(next(writer), sizeBytes)
}

async function pushBlob(world: World, writer: Writer, model: RepositoryModel, blob: Blob): Promise<void> {
  const sentAt = Date.now()
  let isClosing = false
  const answer = await effect(
    world,
    () =>
      sendBlob(world.client, nameOf(world, model), blob, writer.random.pick(uploadMethods), () => {
        isClosing = true
      }),
    (certainty) => {
      if (isClosing) model.blobPushed(blob, sentAt + world.periods.leaseMs, certainty)
    },
  )
  assert.equal(answer.status, 201, `push of a blob: ${answer.status} ${answer.text}`)
}

function nameOf(world: World, model: { path: string }): string {
  return `${world.namespace}/${model.path}`
}

async function pushManifest(
  world: World,
  model: RepositoryModel,
  manifest: Manifest,
  names: readonly string[],
): Promise<boolean> {
  const [first, ...more] = names
  // One tag is in the path; several go with the digest.
  const reference =
    first !== undefined && more.length === 0
      ? first
      : `${manifest.digest}?${names.map((tag) => `tag=${tag}`).join('&')}`
  const held = () => manifest.blobs.filter((digest) => !model.isHeld(digest, Date.now() + clockMarginMs))
  const answer = await effect(
    world,
    () => sendManifest(world, nameOf(world, model), reference, manifest),
    (certainty) => model.manifestPushed(manifest, names, certainty),
  )
  if (answer.status === 201) return true
  assert.equal(errorCode(answer.text), 'MANIFEST_BLOB_UNKNOWN', `${answer.status} ${answer.text}`)
  assert.notDeepEqual(held(), [], `a blob vanished under its lease: ${answer.text}`)
  return false
}

function sendManifest(world: World, name: string, reference: string, manifest: Manifest): Promise<Answer> {
  const headers = { 'content-type': manifest.mediaType }
  return world.client.send('PUT', `/v2/${name}/manifests/${reference}`, { body: manifest.content, headers })
}

async function pushImage(world: World, writer: Writer): Promise<void> {
  const { random, main } = writer
  const blobs = [
    makeBlob(`${next(writer)}/config`, random.integer(200, 2000)),
    ...Array.from({ length: random.integer(1, 4) }, () => newBlob(world, writer)),
  ]
  // Some are pushed already; clients skip what a registry has, so this one does too, now and then.
  for (const blob of blobs) {
    const isKnown = main.isHeld(blob.digest, Date.now() + clockMarginMs)
    if (!isKnown || random.chance(0.5)) await pushBlob(world, writer, main, blob)
  }
  const [config, ...layers] = blobs as [Blob, ...Blob[]]
  const names = tags.filter(() => random.chance(0.35))
  await pushManifest(world, main, makeImage(config, layers, next(writer)), names)
}

async function pushIndex(world: World, writer: Writer): Promise<void> {
  const images = writer.main.liveManifests().filter(({ blobs }) => blobs.length > 0)
  if (images.length === 0) return
  const children = [writer.random.pick(images), writer.random.pick(images)]
  await pushManifest(world, writer.main, makeIndex(children, next(writer)), [writer.random.pick(tags)])
}

async function moveTag(world: World, writer: Writer): Promise<void> {
  const live = writer.main.liveManifests()
  if (live.length === 0) return
  const moved = await pushManifest(world, writer.main, writer.random.pick(live), [writer.random.pick(tags)])
  assert.ok(moved, 'a live manifest could not be pushed again')
}

async function deleteTag(world: World, writer: Writer): Promise<void> {
  const { main } = writer
  const tag = writer.random.pick(tags)
  if (!main.tags.has(tag)) return
  const exists = main.valueOf(tag) !== null
  const answer = await effect(
    world,
    () => world.client.send('DELETE', `/v2/${nameOf(world, main)}/manifests/${tag}`),
    (certainty) => {
      if (exists) main.tagChanged(tag, null, certainty)
    },
  )
  assert.equal(answer.status, exists ? 202 : 404, `delete of the tag ${tag}: ${answer.text}`)
}

async function deleteManifest(world: World, writer: Writer): Promise<void> {
  const { main, random } = writer
  const live = main.liveManifests()
  if (live.length === 0) return
  const { digest } = random.pick(live)
  const isReferredTo = main.hasLiveReferrer(digest)
  const purgeAtMs = Date.now() + world.periods.trashMs
  const answer = await effect(
    world,
    () => world.client.send('DELETE', `/v2/${nameOf(world, main)}/manifests/${digest}`),
    (certainty) => {
      if (!isReferredTo) main.manifestDeleted(digest, purgeAtMs, certainty)
    },
  )
  assert.equal(answer.status, isReferredTo ? 403 : 202, `delete of ${digest}: ${answer.text}`)
}

async function undeleteManifest(world: World, writer: Writer): Promise<void> {
  const { main, random } = writer
  const deleted = main.deletedManifests()
  if (deleted.length === 0) return
  const { digest } = random.pick(deleted)
  const answer = await effect(
    world,
    () => callConsole(world, main, `manifests/${encodeURIComponent(digest)}/undelete`),
    (certainty) => main.manifestUndeleted(digest, 'former', certainty),
  )
  checkUndelete(main, digest, answer)
}

async function undeleteTag(world: World, writer: Writer): Promise<void> {
  const { main, random } = writer
  const gone = [...main.history].filter(([tag]) => main.valueOf(tag) === null)
  if (gone.length === 0) return
  const [tag, changes] = random.pick(gone)
  const digest = changes.findLast((change) => change.digest !== null)?.digest ?? null
  if (digest === null) return
  const answer = await effect(
    world,
    () => callConsole(world, main, `tags/${tag}/undelete`, {}),
    (certainty) => main.manifestUndeleted(digest, [tag], certainty),
  )
  checkUndelete(main, digest, answer)
}

function checkUndelete(model: RepositoryModel, digest: string, answer: Answer): void {
  if (answer.status === 200) return
  assert.ok(answer.status === 404 || answer.status === 409, `undelete: ${answer.status} ${answer.text}`)
  const mustWork = model.isRestorable(digest, Date.now() + clockMarginMs)
  assert.ok(!mustWork, `undelete of ${digest} before its time in the trash was over: ${answer.text}`)
}

async function callConsole(
  world: World,
  model: RepositoryModel,
  path: string,
  body?: unknown,
): Promise<Answer> {
  let answer: ApiAnswer
  try {
    const repository = encodeURIComponent(model.path)
    answer = await world.berth.api(
      'POST',
      `/projects/${world.projectId}/repositories/${repository}/${path}`,
      body,
    )
  } catch (cause) {
    throw new NoAnswer(`POST ${path}`, { cause })
  }
  return { status: answer.status, headers: answer.headers, text: JSON.stringify(answer.body) }
}

/** Pushed and left alone: garbage as soon as its lease ends. */
async function pushLooseBlob(world: World, writer: Writer): Promise<void> {
  await pushBlob(world, writer, writer.main, newBlob(world, writer))
}

async function deleteBlob(world: World, writer: Writer): Promise<void> {
  const { main, random } = writer
  const known = [...main.blobs.values()]
  if (known.length === 0) return
  const { digest } = random.pick(known).blob
  const isReferredTo = main.hasLiveReferrer(digest)
  const wasDeleted = main.isDeleted(digest)
  const answer = await effect(
    world,
    () => world.client.send('DELETE', `/v2/${nameOf(world, main)}/blobs/${digest}`),
    (certainty) => {
      if (!isReferredTo) main.blobDeleted(digest, certainty)
    },
  )
  if (isReferredTo) assert.equal(answer.status, 403, `delete of a blob in use: ${answer.text}`)
  else if (answer.status === 404) {
    const isHeld = main.isHeld(digest, Date.now() + clockMarginMs)
    assert.ok(!isHeld, `a blob vanished while it was held: ${digest}`)
    main.blobDeleted(digest, 'acknowledged')
  } else {
    assert.equal(answer.status, 202, `delete of a blob: ${answer.text}`)
    assert.ok(!wasDeleted, `a deleted blob was there again: ${digest}`)
  }
}

/** Mounts an image's blobs into the side repository and pushes its manifest there. */
async function mountImage(world: World, writer: Writer): Promise<void> {
  const { main, side, random } = writer
  const images = main.liveManifests().filter(({ blobs }) => blobs.length > 0)
  if (images.length === 0) return
  const image = random.pick(images)
  for (const digest of image.blobs) {
    const { blob } = main.blobs.get(digest) as { blob: Blob }
    const sentAt = Date.now()
    const name = nameOf(world, side)
    const from = encodeURIComponent(nameOf(world, main))
    const answer = await effect(
      world,
      () => world.client.send('POST', `/v2/${name}/blobs/uploads/?mount=${digest}&from=${from}`),
      (certainty) => side.blobPushed(blob, sentAt + world.periods.leaseMs, certainty),
    )
    assert.equal(answer.status, 201, `mount of a blob in use: ${answer.status} ${answer.text}`)
  }
  await pushManifest(world, side, image, [random.pick(tags)])
}

/** Opens an upload, sends another chunk of one, or closes one. */
async function goOnUploading(world: World, writer: Writer): Promise<void> {
  const { main, random, uploads } = writer
  const upload = uploads.length < openUploadsMax ? undefined : random.pick(uploads)
  if (upload === undefined) {
    const blob = makeBlob(next(writer), random.integer(1000, 200_000))
    const start = await startUpload(world.client, nameOf(world, main), blob)
    assert.ok('upload' in start, 'refusal' in start ? start.refusal.text : '')
    uploads.push(start.upload)
    return
  }
  const leftBytes = upload.blob.sizeBytes - upload.acknowledgedBytes
  if (leftBytes > 1 && random.chance(0.8)) {
    const answer = await sendChunk(world.client, upload, random.integer(1, Math.ceil(leftBytes / 2)))
    assert.equal(answer.status, 202, `chunk: ${answer.status} ${answer.text}`)
    return
  }
  writer.uploads = uploads.filter((one) => one !== upload)
  await closeUpload(world, main, upload)
}

/** PUT of what is left. */
export async function closeUpload(world: World, model: RepositoryModel, upload: OpenUpload): Promise<void> {
  const sentAt = Date.now()
  const { blob, acknowledgedBytes } = upload
  const url = `${upload.location}${upload.location.includes('?') ? '&' : '?'}digest=${blob.digest}`
  const answer = await effect(
    world,
    () => world.client.send('PUT', url, { body: bytesOf(blob).subarray(acknowledgedBytes) }),
    (certainty) => model.blobPushed(blob, sentAt + world.periods.leaseMs, certainty),
  )
  assert.equal(answer.status, 201, `end of an upload: ${answer.status} ${answer.text}`)
}

/** Pushes a small image to, or deletes, a tag that the other writers move too. */
async function moveSharedTag(world: World, writer: Writer): Promise<void> {
  const { shared, client } = world
  const { random } = writer
  const tag = random.pick(sharedTags)
  const name = nameOf(world, shared)
  if (random.chance(0.15)) {
    const deletion = shared.begin(tag, null, performance.now())
    const answer = await client.send('DELETE', `/v2/${name}/manifests/${tag}`)
    if (answer.status !== 202) {
      assert.equal(answer.status, 404, `delete of the tag ${tag}: ${answer.text}`)
      shared.forget(tag, deletion)
    } else deletion.answeredAt = performance.now()
    return
  }
  const config = makeBlob(`${next(writer)}/shared`, random.integer(100, 30_000))
  const pushed = await sendBlob(client, name, config, random.pick(uploadMethods))
  assert.equal(pushed.status, 201, `push of a blob: ${pushed.status} ${pushed.text}`)
  const manifest = makeImage(config, [], next(writer))
  const change = shared.begin(tag, manifest.digest, performance.now())
  const answer = await sendManifest(world, name, tag, manifest)
  if (answer.status !== 201) {
    shared.forget(tag, change)
    const mayHaveLapsed = world.periods.leaseMs < 60_000
    assert.ok(mayHaveLapsed && errorCode(answer.text) === 'MANIFEST_BLOB_UNKNOWN', answer.text)
    return
  }
  change.answeredAt = performance.now()
  world.onAcknowledged()
}
