import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createOutgoing, type OutgoingOptions } from '../../../server/src/outgoing/create-outgoing.ts'
import { parseAllowList } from '../../../server/src/outgoing/allow-list.ts'
import {
  createUpstreamClient,
  type UpstreamClientOptions,
} from '../../../server/src/upstream/upstream-client.ts'
import type { ConnectionReport, UpstreamClient } from '../../../server/src/upstream/upstream.ts'
import { seededBytes } from '../images.ts'
import type { Recorder } from './recorder.ts'

export const IMAGE_TYPE = 'application/vnd.oci.image.manifest.v1+json'
export const USER = 'puller'
/** Unlike anything else that is sent, so that finding it means that it was sent. */
export const SECRET = 'stored-Secret/of+the=record'

/** A guard that may call loopback over TLS, and what else is allowed. */
export function createGuard(caFile: string | null, allow = '', options: Partial<OutgoingOptions> = {}) {
  const parsed = parseAllowList(`127.0.0.1,localhost${allow === '' ? '' : `,${allow}`}`)
  assert.ok(parsed.ok)
  const extraCaPem = caFile === null ? null : readFileSync(caFile, 'utf8')
  return createOutgoing({ allow: parsed.entries, extraCaPem, userAgent: 'berth/test', ...options })
}

/** A client with the stored secret. */
export function clientFor(
  options: Pick<UpstreamClientOptions, 'outgoing' | 'host'> & Partial<UpstreamClientOptions>,
): UpstreamClient {
  return createUpstreamClient({
    provider: 'custom',
    credential: { username: USER, password: SECRET },
    endpoints: new Map(),
    ...options,
  })
}

/** Every listener of a case, and those among them that may have been sent the secret, and were. */
export function assertSecretReached(listeners: readonly Recorder[], own: readonly Recorder[]): void {
  for (const listener of listeners) {
    assert.equal(listener.hasSeen(SECRET), own.includes(listener), `the secret at ${listener.host}`)
  }
}

/** A report of a failure that says why and what to do, and does not repeat the secret. */
export function assertFailed(
  report: ConnectionReport,
  reason: ConnectionReport['reason'],
  text: RegExp = /./,
): void {
  assert.equal(report.reason, reason, JSON.stringify(report))
  assert.equal(report.ok, false)
  assert.match(report.message, text)
  assert.ok((report.nextStep ?? '').length > 10)
  assert.equal(report.checks.at(-1)?.ok, false)
  const encoded = Buffer.from(`${USER}:${SECRET}`).toString('base64')
  for (const form of [SECRET, encodeURIComponent(SECRET), encoded]) {
    assert.ok(!JSON.stringify(report).includes(form), 'the report repeats the secret')
  }
}

/** What was pushed: an image of one layer. */
export type Pushed = { manifest: Buffer; digest: string; layer: Buffer; layerDigest: string }

/** Pushes a small image with plain requests. */
export async function pushImage(
  origin: string,
  repository: string,
  tag: string,
  authorization: string | null,
): Promise<Pushed> {
  const headers: Record<string, string> = authorization === null ? {} : { authorization }
  const layer = seededBytes(`${repository}:${tag}`, 100_000)
  const config = Buffer.from('{}')
  for (const content of [layer, config]) await pushBlob(origin, repository, content, headers)
  const describe = (mediaType: string, content: Buffer) => ({
    mediaType,
    digest: digestOf(content),
    size: content.length,
  })
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: IMAGE_TYPE,
      config: describe('application/vnd.oci.image.config.v1+json', config),
      layers: [describe('application/vnd.oci.image.layer.v1.tar', layer)],
    }),
  )
  const put = await fetch(`${origin}/v2/${repository}/manifests/${tag}`, {
    method: 'PUT',
    headers: { ...headers, 'content-type': IMAGE_TYPE },
    body: new Uint8Array(manifest),
  })
  assert.equal(put.status, 201, await put.text())
  return { manifest, digest: digestOf(manifest), layer, layerDigest: digestOf(layer) }
}

async function pushBlob(
  origin: string,
  repository: string,
  content: Buffer,
  headers: Record<string, string>,
): Promise<void> {
  const start = await fetch(`${origin}/v2/${repository}/blobs/uploads/`, { method: 'POST', headers })
  assert.equal(start.status, 202, await start.text())
  const location = new URL(start.headers.get('location') ?? '', origin)
  location.searchParams.set('digest', digestOf(content))
  const put = await fetch(`${origin}${location.pathname}${location.search}`, {
    method: 'PUT',
    headers: { ...headers, 'content-type': 'application/octet-stream' },
    body: new Uint8Array(content),
  })
  assert.equal(put.status, 201, await put.text())
}

export function digestOf(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}
