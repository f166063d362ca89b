import assert from 'node:assert/strict'
import type { Berth } from '../support/berth.ts'
import { waitFor } from '../support/process.ts'
import type { Answer, Client, ReadAnswer } from './client.ts'
import { bytesOf } from './content.ts'
import type { RepositoryModel, TagChange } from './repository-model.ts'
import type { SharedTags } from './shared-tags.ts'
import { askUpload, type OpenUpload } from './uploads.ts'
import type { World, Writer } from './writer.ts'

const historyPageMax = 500
/** A hold on an upload session ends 20 s after its last renewal. */
const holdLimitMs = 30_000

type Place = { client: Client; name: string }

/**
 * Compares a repository with what was acknowledged, and settles what was open: afterwards the model holds what was
 * seen. Reads with GET only, since HEAD with a key that may push extends leases.
 */
export async function checkRepository(world: World, model: RepositoryModel): Promise<void> {
  const place = { client: world.client, name: `${world.namespace}/${model.path}` }
  const verified = new Set<string>()
  await checkManifests(place, model)
  for (const tag of model.tags.keys()) await checkTag(place, model, tag, verified)
  for (const [digest, state] of model.blobs) {
    const answer = verified.has(digest) ? null : await readBlob(place, digest)
    // Asked for before the time is looked at: what was held after the answer was held when it was given.
    if (model.isHeld(digest, Date.now())) {
      assert.ok(answer === null || answer.status === 200, `a blob is gone: ${digest} (${answer?.status})`)
    }
    if (model.isDeleted(digest)) {
      assert.equal(answer?.status ?? 200, 404, `a deleted blob is there again: ${digest}`)
    }
    if (answer?.status === 200) assertExact(answer, digest, state.blob.sizeBytes)
    if (state.here.size === 2) state.here = new Set([answer === null || answer.status === 200])
  }
  await checkTagList(place, model)
  for (const [tag, changes] of model.history) {
    settleHistory(tag, changes, await readHistory(world, model.path, tag))
  }
}

async function checkManifests(place: Place, model: RepositoryModel): Promise<void> {
  for (const [digest, state] of model.manifests) {
    const answer = await place.client.read(`/v2/${place.name}/manifests/${digest}`)
    assert.ok(answer.status === 200 || answer.status === 404, `manifest ${digest}: ${answer.status}`)
    const isLive = answer.status === 200
    const expected = [...state.live].map((live) => (live ? 'live' : 'deleted')).join(' or ')
    assert.ok(state.live.has(isLive), `${model.path}: ${digest} is ${answer.status}, should be ${expected}`)
    if (isLive) assertExact(answer, digest, state.manifest.content.byteLength)
    if (isLive && !model.isLive(digest)) {
      // Seen live, so everything it refers to is here as well; the closure of tags is read below.
      for (const blob of state.manifest.blobs) model.blobs.get(blob)?.here.add(true)
    }
    state.live = new Set([isLive])
  }
}

/** The tag resolves to a possible value, and all that it needs can be read, exactly. */
async function checkTag(
  place: Place,
  model: RepositoryModel,
  tag: string,
  verified: Set<string>,
): Promise<void> {
  const possible = model.tags.get(tag) ?? new Set()
  const answer = await place.client.read(`/v2/${place.name}/manifests/${tag}`)
  assert.ok(answer.status === 200 || answer.status === 404, `tag ${tag}: ${answer.status}`)
  const value = answer.status === 200 ? answer.digest : null
  const expected = [...possible].map((one) => one ?? 'nothing').join(' or ')
  assert.ok(possible.has(value), `${model.path}:${tag} is ${value ?? 'nothing'}, should be ${expected}`)
  model.tags.set(tag, new Set([value]))
  if (value !== null) await checkClosure(place, answer, verified)
}

type Listed = { digest: string; size: number }
type Document = { config?: Listed; layers?: Listed[]; manifests?: Listed[] }

async function checkClosure(place: Place, manifest: ReadAnswer, verified: Set<string>): Promise<void> {
  const { config, layers = [], manifests = [] } = JSON.parse(manifest.text) as Document
  for (const { digest, size } of [...(config === undefined ? [] : [config]), ...layers]) {
    if (verified.has(digest)) continue
    const answer = await readBlob(place, digest)
    assert.equal(answer.status, 200, `${place.name}: a visible tag's blob ${digest} cannot be read`)
    assertExact(answer, digest, size)
    verified.add(digest)
  }
  for (const { digest, size } of manifests) {
    const child = await place.client.read(`/v2/${place.name}/manifests/${digest}`)
    assert.equal(child.status, 200, `${place.name}: a visible index's manifest ${digest} cannot be read`)
    assertExact(child, digest, size)
    await checkClosure(place, child, verified)
  }
}

async function readBlob({ client, name }: Place, digest: string): Promise<ReadAnswer> {
  const answer = await client.read(`/v2/${name}/blobs/${digest}`)
  assert.ok(answer.status === 200 || answer.status === 404, `blob ${digest}: ${answer.status} ${answer.text}`)
  return answer
}

function assertExact(answer: ReadAnswer, digest: string, sizeBytes: number): void {
  assert.equal(answer.digest, digest, 'the bytes do not have the digest that they were asked for by')
  assert.equal(answer.sizeBytes, sizeBytes, `${digest} has another size`)
}

async function checkTagList({ client, name }: Place, model: RepositoryModel): Promise<void> {
  const answer = await client.read(`/v2/${name}/tags/list`)
  if (answer.status === 404) {
    assert.equal(model.liveManifests().length, 0, `${name}: the repository is gone`)
    return
  }
  const listed = (JSON.parse(answer.text) as { tags: string[] }).tags
  const expected = [...model.tags.keys()].filter((tag) => model.valueOf(tag) !== null)
  assert.deepEqual(listed, expected.sort(), `${name}: list of tags`)
}

/** All versions of a tag, oldest first; asserts that the versions have no gap. */
async function readHistory(
  world: Pick<World, 'berth' | 'projectId'>,
  path: string,
  tag: string,
): Promise<(string | null)[]> {
  const base = `/projects/${world.projectId}/repositories/${encodeURIComponent(path)}/tags/${tag}/history`
  const rows: { version: number; digest: string | null }[] = []
  let cursor: string | null = null
  do {
    const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const { status, body } = await world.berth.api('GET', `${base}?limit=${historyPageMax}${query}`)
    if (status === 404) return []
    assert.equal(status, 200, `history of ${tag}: ${JSON.stringify(body)}`)
    const page = body as { items: typeof rows; nextCursor: string | null }
    rows.push(...page.items)
    cursor = page.nextCursor
  } while (cursor !== null)
  rows.reverse()
  const versions = rows.map(({ version }) => version)
  assert.deepEqual(
    versions,
    Array.from(versions, (_, index) => index + 1),
    `versions of ${path}:${tag}`,
  )
  return rows.map(({ digest }) => digest)
}

/** Each acknowledged change is in the history, in order, with nothing else than changes without an answer. */
function settleHistory(tag: string, changes: TagChange[], history: readonly (string | null)[]): void {
  const settled: TagChange[] = []
  for (const change of changes) {
    const isNext = settled.length < history.length && history[settled.length] === change.digest
    if (isNext) settled.push({ digest: change.digest, certainty: 'acknowledged' })
    else assert.equal(change.certainty, 'in flight', `${tag}: an acknowledged change is not in its history`)
  }
  assert.equal(settled.length, history.length, `${tag}: the history has changes that nobody made`)
  changes.splice(0, changes.length, ...settled)
}

/** Checks the tags that several writers move. */
export async function checkSharedTags(world: World, shared: SharedTags): Promise<void> {
  const place = { client: world.client, name: `${world.namespace}/${shared.path}` }
  for (const tag of shared.tags()) {
    const answer = await place.client.read(`/v2/${place.name}/manifests/${tag}`)
    assert.ok(answer.status === 200 || answer.status === 404, `tag ${tag}: ${answer.status}`)
    const value = answer.status === 200 ? answer.digest : null
    shared.check(tag, await readHistory(world, shared.path, tag), value)
    if (value !== null) await checkClosure(place, answer, new Set())
  }
}

/** Each interrupted upload is gone, or stands where it was acknowledged or earlier, and can be brought to its end. */
export async function checkUploads(world: World, writer: Writer): Promise<void> {
  const uploads = writer.uploads.splice(0)
  for (const upload of uploads) {
    const offsetBytes = await askUpload(world.client, upload)
    if (offsetBytes === null) continue
    const { acknowledgedBytes, possibleBytes, blob } = upload
    assert.ok(
      offsetBytes <= acknowledgedBytes || offsetBytes === possibleBytes,
      `an upload stands at ${offsetBytes}, ${acknowledgedBytes} (maybe ${possibleBytes}) were sent`,
    )
    const answer = await endUpload(world.client, upload, offsetBytes)
    if (answer.status === 404) continue
    assert.equal(answer.status, 201, `end of an interrupted upload: ${answer.status} ${answer.text}`)
    const sentAt = Date.now()
    writer.main.blobPushed(blob, sentAt - 1, 'acknowledged')
    const read = await readBlob({ client: world.client, name: upload.repository }, blob.digest)
    if (read.status === 200) assertExact(read, blob.digest, blob.sizeBytes)
    else
      assert.ok(world.periods.leaseMs < 60_000, `the blob of an interrupted upload is gone: ${blob.digest}`)
  }
}

/**
 * Sends the rest. A process that was killed in the middle of a chunk leaves its hold on the session, which the others
 * (and itself, started again) respect until it ends: the client is told that another request is writing.
 */
async function endUpload(client: Client, upload: OpenUpload, offsetBytes: number): Promise<Answer> {
  const { location, blob } = upload
  const url = `${location}${location.includes('?') ? '&' : '?'}digest=${blob.digest}`
  const ended: Answer[] = []
  await waitFor(
    'the hold of the killed process to end',
    async () => {
      const answer = await client.send('PUT', url, { body: bytesOf(blob).subarray(offsetBytes) })
      if (answer.status === 416 && answer.text.includes('another request is writing')) return false
      ended.push(answer)
      return true
    },
    holdLimitMs,
  )
  return ended[0] as Answer
}

/** `berth fsck`, digests included, finds nothing wrong. */
export async function checkWithFsck(berth: Pick<Berth, 'cli'>): Promise<void> {
  const { code, stdout, stderr } = await berth.cli(['fsck'], { allowFailure: true })
  assert.equal(code, 0, `berth fsck ended with ${code}:\n${stdout}\n${stderr}`)
}
