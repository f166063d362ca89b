import assert from 'node:assert/strict'
import { type Answer, type Client, NoAnswer } from './client.ts'
import { type Blob, makeBlob, makeImage, type Manifest } from './content.ts'
import { finishUpload, sendBlob, sendChunk, startUpload } from './uploads.ts'

/** Above the inline limit, so that it goes to the blob store. */
const largeBytes = 40_000
const smallBytes = 500

/** What one push was told to have. */
export type Acknowledged = {
  repository: string
  tag: string
  blobs: Blob[]
  manifest: Manifest | null
}

export type PushStep = 'POST' | 'PATCH' | 'PUT of a large blob' | 'push of a small blob' | 'PUT of a manifest'

export type PushResult = {
  acknowledged: Acknowledged
  /** The step that was refused or got no answer, or null: all went well. */
  failed: { step: PushStep; answer: Answer | null } | null
}

/** Watches each step: called before it with its name, and after its answer. */
export type StepWatcher = {
  before(step: PushStep): void
  after(step: PushStep, answer: Answer, content: { digest: string }): void
}

/** One push of fresh content, up to the first step that fails. A lost connection is a failed step. */
export async function pushOnce(
  client: Client,
  repository: string,
  seed: string,
  watcher: StepWatcher,
): Promise<PushResult> {
  const large = makeBlob(`${seed}/large`, largeBytes)
  const small = makeBlob(`${seed}/small`, smallBytes)
  const manifest = makeImage(small, [large], seed)
  const acknowledged: Acknowledged = { repository, tag: tagOf(seed), blobs: [], manifest: null }
  const run = async (
    step: PushStep,
    content: { digest: string },
    act: () => Promise<Answer>,
  ): Promise<PushResult | null> => {
    watcher.before(step)
    const answer = await act().catch((error: unknown) => {
      if (error instanceof NoAnswer) return null
      throw error
    })
    if (answer === null || answer.status >= 300) return { acknowledged, failed: { step, answer } }
    watcher.after(step, answer, content)
    return null
  }
  let upload: Awaited<ReturnType<typeof startUpload>> | undefined
  const opened = await run('POST', large, async () => {
    upload = await startUpload(client, repository, large)
    return 'upload' in upload ? { status: 202, headers: new Headers(), text: '' } : upload.refusal
  })
  if (opened !== null) return opened
  assert.ok(upload !== undefined && 'upload' in upload)
  const { upload: session } = upload
  const patched = await run('PATCH', large, () => sendChunk(client, session, largeBytes))
  if (patched !== null) return patched
  const closed = await run('PUT of a large blob', large, () => finishUpload(client, session))
  if (closed !== null) return closed
  acknowledged.blobs.push(large)
  const pushed = await run('push of a small blob', small, () =>
    sendBlob(client, repository, small, 'at once'),
  )
  if (pushed !== null) return pushed
  acknowledged.blobs.push(small)
  const finished = await run('PUT of a manifest', manifest, () =>
    client.send('PUT', `/v2/${repository}/manifests/${tagOf(seed)}`, {
      body: manifest.content,
      headers: { 'content-type': manifest.mediaType },
    }),
  )
  if (finished !== null) return finished
  acknowledged.manifest = manifest
  return { acknowledged, failed: null }
}

/** Everything that was acknowledged can be read, exactly. */
export async function checkAcknowledged(client: Client, acknowledged: Acknowledged): Promise<void> {
  const { repository, blobs, manifest, tag } = acknowledged
  for (const { digest, sizeBytes } of blobs) {
    const answer = await client.read(`/v2/${repository}/blobs/${digest}`)
    assert.equal(answer.status, 200, `an acknowledged blob is not there: ${digest}`)
    assert.deepEqual({ digest: answer.digest, sizeBytes: answer.sizeBytes }, { digest, sizeBytes })
  }
  if (manifest === null) return
  const answer = await client.read(`/v2/${repository}/manifests/${tag}`)
  assert.equal(answer.status, 200, `an acknowledged manifest is not there: ${manifest.digest}`)
  assert.equal(answer.digest, manifest.digest)
}

/** A refusal that a client can act on: 4xx or 503, and when to come back if that may help. */
export function checkRefusal(answer: Answer): void {
  const { status, headers, text } = answer
  assert.ok((status >= 400 && status < 500) || status === 503, `not a clean refusal: ${status} ${text}`)
  if (status === 503) assert.ok(headers.get('retry-after'), '503 without Retry-After')
  const body = JSON.parse(text) as { errors?: unknown[] }
  assert.ok(Array.isArray(body.errors) && body.errors.length > 0, `an answer without its error: ${text}`)
}

function tagOf(seed: string): string {
  return seed.replaceAll('/', '-')
}
