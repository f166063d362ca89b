import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { BLOBS, bytesOfPool, MANIFESTS, type PoolManifest, TAGS } from './content.ts'
import { blobAt, type Expected, type ProjectModel } from './registry-model.ts'
import { pushBlob, startUpload, type PushMethod } from './upload-steps.ts'
import {
  assertAnswer,
  outcomeOf,
  type ProjectState,
  refusalOf,
  type Resolved,
  send,
  type World,
} from './world.ts'

/** How a manifest push names what it tags. */
export type Tagging = 'digest' | 'tag' | 'query'

function nameOf({ target }: Resolved, path: string): string {
  return `${target.model.namespace}/${path}`
}

/** PUT of a manifest by digest, by tag, or by digest with `?tag=`. Whether it was taken. */
export async function pushManifest(
  world: World,
  who: Resolved,
  path: string,
  manifest: PoolManifest,
  { tagging, tagIndex }: { tagging: Tagging; tagIndex: number },
): Promise<boolean> {
  const first = TAGS[tagIndex % TAGS.length] as string
  const tags = tagging === 'digest' ? [] : tagging === 'tag' ? [first] : [first, otherTag(tagIndex)]
  const query = tagging === 'query' ? `?${tags.map((tag) => `tag=${tag}`).join('&')}` : ''
  const reference = tagging === 'tag' ? first : `${manifest.digest}${query}`
  const expected =
    refusalOf(world, who, { path, action: 'push' }) ?? who.target.model.pushManifest(path, manifest, tags)
  const name = nameOf(who, path)
  const answer = await send(world, who.credential, 'PUT', `/v2/${name}/manifests/${reference}`, {
    body: manifest.content,
    headers: { 'Content-Type': manifest.mediaType },
  })
  assertAnswer(answer, expected, `PUT of a manifest at ${reference}`)
  if (answer.status !== 201) return false
  const { headers } = answer
  assert.equal(headers['docker-content-digest'], manifest.digest)
  assert.equal(headers['location'], `/v2/${name}/manifests/${manifest.digest}`)
  assert.equal(headers['oci-subject'], manifest.subject ?? undefined)
  assert.equal(headers['oci-tag'], tags.length === 0 ? undefined : tags.join(', '))
  return true
}

function otherTag(index: number): string {
  return TAGS[(index + 1) % TAGS.length] as string
}

/** Pushes everything that a manifest needs and then the manifest, as clients do. */
export async function pushComplete(
  world: World,
  who: Resolved,
  path: string,
  manifest: PoolManifest,
  how: { method: PushMethod; tagging: Tagging; tagIndex: number },
): Promise<boolean> {
  const { model } = who.target
  for (const digest of manifest.children) {
    if (model.repositories.get(path)?.live(digest)) continue
    const child = MANIFESTS.find((one) => one.digest === digest)
    if (child === undefined) throw new Error('a child is of the pool')
    const isThere = await pushComplete(world, who, path, child, { ...how, tagging: 'digest' })
    if (!isThere) return false
  }
  for (const digest of manifest.blobs) {
    if (model.repositories.get(path)?.members.has(digest)) continue
    const blobIndex = BLOBS.findIndex((blob) => blob.digest === digest)
    if (!(await pushBlob(world, who, { path, blobIndex }, how.method))) return false
  }
  return pushManifest(world, who, path, manifest, how)
}

/** Where a mount says that the blob is. */
export type MountSource = { path: string; project: ProjectState } | null

/** POST with `mount`: 201, or the start of an upload. */
export async function mount(
  world: World,
  who: Resolved,
  { path, blobIndex, source }: { path: string; blobIndex: number; source: MountSource },
): Promise<void> {
  const { target, credential } = who
  const { digest } = blobAt(blobIndex)
  const from = source === null ? '' : `&from=${source.project.model.namespace}/${source.path}`
  const query = `?mount=${digest}${from}`
  if (refusalOf(world, who, { path, action: 'push' }) !== null) {
    await startUpload(world, who, { path, blobIndex, query })
    return
  }
  const mayPull = (name: string): Expected | null => refusalOf(world, who, { path: name, action: 'pull' })
  let sources: string[] = []
  if (source === null) {
    sources = [...target.model.repositories.keys()].filter((name) => mayPull(name) === null)
  } else if (source.project === target) {
    const refused = mayPull(source.path)
    // A token that does not cover the source is asked for a wider one; a key that may not is told nothing.
    if (refused?.status === 401) {
      const url = `/v2/${nameOf(who, path)}/blobs/uploads/${query}`
      assertAnswer(await send(world, credential, 'POST', url), refused, `mount ${query}`)
      return
    }
    if (refused === null) sources = [source.path]
  }
  if (!target.model.mount(path, sources, digest)) {
    await startUpload(world, who, { path, blobIndex, query })
    return
  }
  const answer = await send(world, credential, 'POST', `/v2/${nameOf(who, path)}/blobs/uploads/${query}`)
  assertAnswer(answer, { status: 201 }, `mount ${query}`)
  assert.equal(answer.headers['docker-content-digest'], digest)
  assert.equal(answer.headers['location'], `/v2/${nameOf(who, path)}/blobs/${digest}`)
}

/** Something of a repository that is deleted or read. */
export type Thing = { kind: 'tag'; tag: string } | { kind: 'manifest' | 'blob'; digest: string }

function pathOf(thing: Thing): string {
  if (thing.kind === 'blob') return `blobs/${thing.digest}`
  return `manifests/${thing.kind === 'tag' ? thing.tag : thing.digest}`
}

export async function remove(world: World, who: Resolved, path: string, thing: Thing): Promise<void> {
  const { model } = who.target
  const expected = refusalOf(world, who, { path, action: 'delete' }) ?? removal(model, path, thing)
  const url = `/v2/${nameOf(who, path)}/${pathOf(thing)}`
  assertAnswer(await send(world, who.credential, 'DELETE', url), expected, `DELETE ${pathOf(thing)}`)
}

function removal(model: ProjectModel, path: string, thing: Thing): Expected {
  switch (thing.kind) {
    case 'tag':
      return model.deleteTag(path, thing.tag)
    case 'manifest':
      return model.deleteManifest(path, thing.digest)
    case 'blob':
      return model.deleteBlob(path, thing.digest)
  }
}

/** By the console: what was deleted comes back. */
export async function undelete(
  { server }: World,
  { model }: ProjectState,
  path: string,
  thing: Thing,
): Promise<void> {
  const place = { project: model.id, repository: path }
  const { expected, call } =
    thing.kind === 'tag'
      ? {
          expected: model.undeleteTag(path, thing.tag),
          call: server.console.call('tags.undelete', { params: { ...place, tag: thing.tag }, body: {} }),
        }
      : {
          expected: model.undeleteManifest(path, thing.digest),
          call: server.console.call('manifests.undelete', { params: { ...place, reference: thing.digest } }),
        }
  const { status, code } = await outcomeOf(call)
  assert.deepEqual({ status, code }, { code: undefined, ...expected }, `undelete of ${pathOf(thing)}`)
}

/** By the console: everything in a repository goes into the trash. */
export async function removeRepository(
  { server }: World,
  { model }: ProjectState,
  path: string,
): Promise<void> {
  const call = server.console.call('repositories.delete', { params: { project: model.id, repository: path } })
  const expected = model.deleteRepository(path)
  const { status, code } = await outcomeOf(call)
  assert.deepEqual({ status, code }, { code: undefined, ...expected }, `delete of the repository ${path}`)
}

/** GET or HEAD of a manifest or blob: status, headers, bytes. */
export async function read(
  world: World,
  who: Resolved,
  path: string,
  thing: Thing,
  method: 'GET' | 'HEAD',
): Promise<void> {
  const { model } = who.target
  const refused = refusalOf(world, who, { path, action: 'pull' })
  const mayPush = refusalOf(world, who, { path, action: 'push' }) === null
  const expected = refused ?? found(model, path, thing, method, mayPush)
  const answer = await send(world, who.credential, method, `/v2/${nameOf(who, path)}/${pathOf(thing)}`)
  // HEAD has no body that could tell a code.
  const wanted = method === 'HEAD' ? { status: expected.status } : expected
  assertAnswer(answer, wanted, `${method} ${pathOf(thing)}`)
  if (answer.status !== 200) return
  const content = contentOf(model, path, thing)
  assertContent(answer.headers, content, method === 'GET' ? answer.body : null)
}

function found(model: ProjectModel, path: string, thing: Thing, method: string, mayPush: boolean): Expected {
  if (thing.kind === 'tag') return model.getManifest(path, thing.tag)
  if (thing.kind === 'manifest') return model.getManifest(path, thing.digest)
  return method === 'HEAD' ? model.headBlob(path, thing.digest, mayPush) : model.getBlob(path, thing.digest)
}

type Content = { digest: string; mediaType: string; bytes: Buffer }

function contentOf(model: ProjectModel, path: string, thing: Thing): Content {
  if (thing.kind === 'blob') {
    const blob = BLOBS.find(({ digest }) => digest === thing.digest)
    if (blob === undefined) throw new Error('only content of the pool is pushed')
    return { digest: blob.digest, mediaType: 'application/octet-stream', bytes: bytesOfPool(blob) }
  }
  const reference = thing.kind === 'tag' ? thing.tag : thing.digest
  const manifest = model.repositories.get(path)?.resolve(reference)
  if (manifest === null || manifest === undefined) throw new Error('the model says that it is there')
  return { digest: manifest.digest, mediaType: manifest.mediaType, bytes: manifest.content }
}

/** Headers that clients go by, and the exact bytes. */
export function assertContent(
  headers: Readonly<Record<string, unknown>>,
  { digest, mediaType, bytes }: Content,
  body: Buffer | null,
): void {
  assert.equal(headers['docker-content-digest'], digest)
  assert.equal(headers['content-length'], String(bytes.byteLength))
  assert.equal(headers['content-type'], mediaType)
  if (body === null) return
  assert.ok(body.equals(bytes), `the bytes of ${digest} are others`)
  assert.equal(`sha256:${createHash('sha256').update(body).digest('hex')}`, digest)
}

/** GET of a part of a blob. */
export async function readRange(
  world: World,
  who: Resolved,
  path: string,
  blobIndex: number,
  { start, lengthBytes }: { start: number; lengthBytes: number },
): Promise<void> {
  const blob = blobAt(blobIndex)
  const url = `/v2/${nameOf(who, path)}/blobs/${blob.digest}`
  const refused = refusalOf(world, who, { path, action: 'pull' })
  const there = refused ?? who.target.model.getBlob(path, blob.digest)
  const isWithin = start < blob.sizeBytes
  // Of no bytes there is no part: the header is ignored (RFC 9110 section 14.2 lets a server do so).
  const ofBytes = { status: isWithin ? 206 : 416 }
  const expected = there.status !== 200 || blob.sizeBytes === 0 ? there : ofBytes
  const end = start + lengthBytes - 1
  const answer = await send(world, who.credential, 'GET', url, {
    headers: { Range: `bytes=${start}-${end}` },
  })
  assertAnswer(answer, expected, `GET of bytes ${start} to ${end} of ${blob.sizeBytes}`)
  if (there.status !== 200 || blob.sizeBytes === 0) return
  if (!isWithin) {
    assert.equal(answer.headers['content-range'], `bytes */${blob.sizeBytes}`)
    return
  }
  const last = Math.min(end, blob.sizeBytes - 1)
  assert.equal(answer.headers['content-range'], `bytes ${start}-${last}/${blob.sizeBytes}`)
  assert.ok(
    answer.body.equals(bytesOfPool(blob).subarray(start, last + 1)),
    'the bytes of a range are others',
  )
}
