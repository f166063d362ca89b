import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { type Blob, makeImage, makeIndex, type Manifest } from '../faults/content.ts'
import {
  ask,
  beginDelete,
  type Client,
  type ConcurrentWorld,
  contentOf,
  note,
  ownBlob,
  type PushedManifest,
  REPOSITORIES,
  SHARED_BLOBS,
  TAGS,
  wasDeletedSince,
} from './concurrent-world.ts'
import { codeOf } from './connections.ts'
import { PERIODS } from './server.ts'

/** A client whose key is not good any more. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

type Step = (world: ConcurrentWorld, client: Client) => Promise<void>

/** What a client does; more often what makes content. */
export const STEPS: readonly Step[] = [
  pushImage,
  pushImage,
  pushImage,
  pushIndex,
  moveTag,
  moveTag,
  readTag,
  readTag,
  readTag,
  deleteTag,
  deleteManifest,
  deleteBlob,
]

/** A promise that a blob is here: until its lease ends, by the server's clock, and unless somebody deletes it. */
type Promised = { digest: string; invokedAt: number; leasedUntilMs: number }

/** Uploads a blob at once, in two requests, or by a mount. */
export async function pushBlob(
  world: ConcurrentWorld,
  client: Client,
  repository: string,
  blob: Blob,
): Promise<Promised> {
  const { random } = client
  const promised = {
    digest: blob.digest,
    invokedAt: world.tick(),
    leasedUntilMs: world.server.nowMs() + PERIODS.leaseMs,
  }
  const body = contentOf(blob)
  if (random.chance(0.4)) {
    const url = `${repository}/blobs/uploads/?digest=${blob.digest}`
    const { answer } = await ask(world, client, 'POST', url, { body })
    assertTaken(answer.status, 201, 'push of a blob')
    return promised
  }
  const query = random.chance(0.4) ? `?mount=${blob.digest}` : ''
  const started = await ask(world, client, 'POST', `${repository}/blobs/uploads/${query}`)
  if (started.answer.status === 201 && query !== '') return promised
  assertTaken(started.answer.status, 202, 'start of an upload')
  const location = String(started.answer.headers['location'])
  const half = Math.floor(body.byteLength / 2)
  const chunk = await ask(world, client, 'PATCH', location, { body: body.subarray(0, half) })
  assertTaken(chunk.answer.status, 202, 'chunk of an upload')
  promised.leasedUntilMs = world.server.nowMs() + PERIODS.leaseMs
  const url = `${location}?digest=${blob.digest}`
  const ended = await ask(world, client, 'PUT', url, { body: body.subarray(half) })
  // The clock may have gone past the session's end.
  if (ended.answer.status === 404) return { ...promised, leasedUntilMs: 0 }
  assertTaken(ended.answer.status, 201, 'end of an upload')
  return promised
}

function assertTaken(status: number, expected: number, what: string): void {
  if (status === 401) throw new Refused(what)
  // A session that the clock has ended is not known any more.
  assert.ok(status === expected, `${what}: ${status}`)
}

async function pushImage(world: ConcurrentWorld, client: Client): Promise<void> {
  const { random } = client
  const repository = random.pick(REPOSITORIES)
  const blobs = [ownBlob(world, client), random.pick(SHARED_BLOBS), random.pick(SHARED_BLOBS)]
  const promised: Promised[] = []
  for (const blob of blobs) promised.push(await pushBlob(world, client, repository, blob))
  const [config, ...layers] = blobs as [Blob, ...Blob[]]
  const manifest = makeImage(config, layers, `${client.id}/${client.counter}`)
  await pushManifest(world, client, repository, { ...manifest, blobs }, promised)
}

async function pushIndex(world: ConcurrentWorld, client: Client): Promise<void> {
  const repository = client.random.pick(REPOSITORIES)
  const images = (world.pushed.get(repository) ?? []).filter(({ blobs }) => blobs.length > 0)
  if (images.length === 0) return
  client.counter += 1
  const children = [client.random.pick(images), client.random.pick(images)].map(asImage)
  const index = makeIndex(children, `${client.id}/${client.counter}`)
  await pushManifest(world, client, repository, { ...index, blobs: [] }, null)
}

function asImage({ digest, content, mediaType, blobs }: PushedManifest): Manifest {
  return { digest, content, mediaType, blobs: blobs.map((blob) => blob.digest), children: [] }
}

/** Pushes a manifest with tags. `promised`: what must be there; null: it may be gone by now. */
async function pushManifest(
  world: ConcurrentWorld,
  client: Client,
  repository: string,
  manifest: PushedManifest,
  promised: readonly Promised[] | null,
): Promise<void> {
  const { random } = client
  const tags = TAGS.filter(() => random.chance(0.6))
  const [only] = tags
  const byTag = only !== undefined && tags.length === 1
  const reference = byTag ? only : `${manifest.digest}?${tags.map((tag) => `tag=${tag}`).join('&')}`
  const { answer, span } = await ask(world, client, 'PUT', `${repository}/manifests/${reference}`, {
    body: manifest.content,
    headers: { 'Content-Type': manifest.mediaType },
  })
  if (answer.status === 404) {
    assert.equal(codeOf(answer), 'MANIFEST_BLOB_UNKNOWN')
    const nowMs = world.server.nowMs()
    const isExplained =
      promised === null ||
      promised.some(
        ({ digest, invokedAt, leasedUntilMs }) =>
          leasedUntilMs <= nowMs || wasDeletedSince(world, repository, digest, invokedAt),
      )
    assert.ok(isExplained, `garbage collection took a leased blob: ${answer.body.toString('utf8')}`)
    return
  }
  assertTaken(answer.status, 201, 'push of a manifest')
  for (const tag of tags) {
    note(world, client.id, { repository, tag }, span, { kind: 'set', digest: manifest.digest })
  }
  const known = world.pushed.get(repository) ?? []
  if (!known.some(({ digest }) => digest === manifest.digest)) known.push(manifest)
  world.pushed.set(repository, known)
}

/** Pushes again, to other tags, what somebody has pushed. */
async function moveTag(world: ConcurrentWorld, client: Client): Promise<void> {
  const repository = client.random.pick(REPOSITORIES)
  const known = world.pushed.get(repository) ?? []
  if (known.length > 0) await pushManifest(world, client, repository, client.random.pick(known), null)
}

async function deleteTag(world: ConcurrentWorld, client: Client): Promise<void> {
  const place = { repository: client.random.pick(REPOSITORIES), tag: client.random.pick(TAGS) }
  const { answer, span } = await ask(world, client, 'DELETE', `${place.repository}/manifests/${place.tag}`)
  if (answer.status === 404) {
    note(world, client.id, place, span, { kind: 'saw', digest: null })
    return
  }
  assertTaken(answer.status, 202, 'delete of a tag')
  note(world, client.id, place, span, { kind: 'unset' })
}

async function deleteManifest(world: ConcurrentWorld, client: Client): Promise<void> {
  const repository = client.random.pick(REPOSITORIES)
  const known = world.pushed.get(repository) ?? []
  if (known.length === 0) return
  const { digest } = client.random.pick(known)
  const deleted = beginDelete(world, repository, digest)
  const { answer, span } = await ask(world, client, 'DELETE', `${repository}/manifests/${digest}`)
  deleted.answeredAt = span.answeredAt
  if (answer.status === 403 || answer.status === 404) return
  assertTaken(answer.status, 202, 'delete of a manifest')
  for (const tag of TAGS) note(world, client.id, { repository, tag }, span, { kind: 'unset if', digest })
}

async function deleteBlob(world: ConcurrentWorld, client: Client): Promise<void> {
  const repository = client.random.pick(REPOSITORIES)
  const { digest } = client.random.pick(SHARED_BLOBS)
  const deleted = beginDelete(world, repository, digest)
  const { answer, span } = await ask(world, client, 'DELETE', `${repository}/blobs/${digest}`)
  deleted.answeredAt = span.answeredAt
  if (answer.status === 403 || answer.status === 404) return
  assertTaken(answer.status, 202, 'delete of a blob')
}

async function readTag(world: ConcurrentWorld, client: Client): Promise<void> {
  const place = { repository: client.random.pick(REPOSITORIES), tag: client.random.pick(TAGS) }
  await readClosure(world, client, place)
}

type Descriptor = { digest: string; size: number }
type Document = { config?: Descriptor; layers?: Descriptor[]; manifests?: Descriptor[] }

/**
 * Reads a tag and everything that it needs (invariant 1). Something may be missing only when the manifest that needs
 * it was deleted since.
 */
export async function readClosure(
  world: ConcurrentWorld,
  client: Client,
  place: { repository: string; tag: string },
): Promise<void> {
  const { repository, tag } = place
  const { answer, span } = await ask(world, client, 'GET', `${repository}/manifests/${tag}`)
  if (answer.status === 404) {
    note(world, client.id, place, span, { kind: 'saw', digest: null })
    return
  }
  assertTaken(answer.status, 200, 'read of a tag')
  const digest = sha256(answer.body)
  assert.equal(answer.headers['docker-content-digest'], digest)
  note(world, client.id, place, span, { kind: 'saw', digest })
  await readContent(world, client, { repository, holder: digest, sinceAt: span.invokedAt }, answer.body)
}

async function readContent(
  world: ConcurrentWorld,
  client: Client,
  tagged: { repository: string; holder: string; sinceAt: number },
  manifest: Buffer,
): Promise<void> {
  const { config, layers = [], manifests = [] } = JSON.parse(manifest.toString('utf8')) as Document
  const { repository, holder, sinceAt } = tagged
  const read = async (kind: 'blobs' | 'manifests', { digest, size }: Descriptor): Promise<Buffer | null> => {
    const { answer } = await ask(world, client, 'GET', `${repository}/${kind}/${digest}`)
    if (answer.status === 404) {
      const isExplained = wasDeletedSince(world, repository, holder, sinceAt)
      assert.ok(isExplained, `${repository}: ${digest} is gone, which ${holder} under a tag needs`)
      return null
    }
    assertTaken(answer.status, 200, 'read of what a tag needs')
    assert.equal(sha256(answer.body), digest)
    assert.equal(answer.body.byteLength, size)
    return answer.body
  }
  for (const blob of config === undefined ? layers : [config, ...layers]) await read('blobs', blob)
  for (const child of manifests) {
    const content = await read('manifests', child)
    if (content !== null) await readContent(world, client, tagged, content)
  }
}

function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
