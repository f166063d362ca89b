/** One server with known content, and what a hostile client of it may know. */
import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { type Berth, type BerthOptions, type KeyAnswer, startBerth } from '../support/berth.ts'

export interface Blob {
  readonly content: Buffer
  readonly digest: string
}

export const ociManifest = 'application/vnd.oci.image.manifest.v1+json'
export const ociIndex = 'application/vnd.oci.image.index.v1+json'

/** Every failed sign-in comes from an address of its own, or the limits on failures would answer for the rest. */
export const trustLoopback = { BERTH_TRUSTED_PROXIES: '127.0.0.1/32' }

let addresses = 0

/** A client address that was not used before in this process. */
export function freshAddress(): string {
  addresses += 1
  return `198.${18 + (addresses >> 16)}.${(addresses >> 8) & 255}.${addresses & 255}`
}

/** Starts a server that believes `X-Forwarded-For` from this machine. */
export function startHostileBerth(options: BerthOptions = {}): Promise<Berth> {
  return startBerth({ ...options, env: { ...trustLoopback, ...options.env } })
}

export function blobOf(content: Buffer | string): Blob {
  const bytes = Buffer.from(content)
  return { content: bytes, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}` }
}

export function randomBlob(sizeBytes: number): Blob {
  return blobOf(randomBytes(sizeBytes))
}

export interface Pushed {
  readonly manifest: Blob
  readonly config: Blob
  readonly layer: Blob
}

/** Content of an image, not pushed. */
export function imageOf(layer: Blob, more: Record<string, unknown> = {}): Pushed {
  const config = blobOf('{}')
  const document = {
    schemaVersion: 2,
    mediaType: ociManifest,
    config: descriptorOf(config, 'application/vnd.oci.image.config.v1+json'),
    layers: [descriptorOf(layer, 'application/vnd.oci.image.layer.v1.tar')],
    ...more,
  }
  return { manifest: blobOf(JSON.stringify(document)), config, layer }
}

export function descriptorOf({ content, digest }: Blob, mediaType: string) {
  return { mediaType, digest, size: content.byteLength }
}

/** Any call of the data plane with fetch. */
export async function call(
  berth: Pick<Berth, 'registryUrl'>,
  method: string,
  path: string,
  options: {
    authorization?: string | undefined
    headers?: Record<string, string>
    body?: Uint8Array<ArrayBuffer> | string
  } = {},
): Promise<{ status: number; headers: Headers; body: Buffer }> {
  const { authorization, headers, body } = options
  const response = await fetch(new URL(path, berth.registryUrl), {
    method,
    redirect: 'manual',
    headers: { ...(authorization === undefined ? {} : { authorization }), ...headers },
    ...(body === undefined ? {} : { body }),
  })
  return {
    status: response.status,
    headers: response.headers,
    body: Buffer.from(await response.arrayBuffer()),
  }
}

/** The same, and it must answer this status. */
export async function callFor(status: number, ...args: Parameters<typeof call>): ReturnType<typeof call> {
  const answer = await call(...args)
  if (answer.status === status) return answer
  throw new Error(`${args[1]} ${args[2]} answered ${answer.status}: ${answer.body.toString().slice(0, 500)}`)
}

export async function pushBlob(
  berth: Berth,
  key: Pick<KeyAnswer, 'authorization'>,
  repository: string,
  blob: Blob,
): Promise<void> {
  await callFor(201, berth, 'POST', `/v2/${repository}/blobs/uploads/?digest=${blob.digest}`, {
    authorization: key.authorization,
    body: new Uint8Array(blob.content),
    headers: { 'content-type': 'application/octet-stream' },
  })
}

export async function pushImage(
  berth: Berth,
  key: Pick<KeyAnswer, 'authorization'>,
  repository: string,
  tag: string,
  image: Pushed,
): Promise<void> {
  await pushBlob(berth, key, repository, image.config)
  await pushBlob(berth, key, repository, image.layer)
  await callFor(201, berth, 'PUT', `/v2/${repository}/manifests/${tag}`, {
    authorization: key.authorization,
    body: new Uint8Array(image.manifest.content),
    headers: { 'content-type': ociManifest },
  })
}

/** Opens an upload session and returns its path. */
export async function openUpload(
  berth: Berth,
  key: Pick<KeyAnswer, 'authorization'>,
  repository: string,
): Promise<string> {
  const answer = await callFor(202, berth, 'POST', `/v2/${repository}/blobs/uploads/`, {
    authorization: key.authorization,
  })
  return answer.headers.get('location') ?? ''
}

/** A Bearer token (or a refresh token) made from a key. */
export async function tokenFor(
  berth: Berth,
  key: Pick<KeyAnswer, 'authorization'>,
  scopes: readonly string[],
  { offline = false } = {},
): Promise<{ token: string; refreshToken: string | null }> {
  const query = new URLSearchParams(scopes.map((scope): [string, string] => ['scope', scope]))
  if (offline) query.set('offline_token', 'true')
  const answer = await callFor(200, berth, 'GET', `/auth/token?${query.toString()}`, {
    authorization: key.authorization,
  })
  const { token, refresh_token: refreshToken } = JSON.parse(answer.body.toString()) as {
    token: string
    refresh_token?: string
  }
  return { token, refreshToken: refreshToken ?? null }
}

/** How many files and sockets the process has open. */
export function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** How much memory the process has resident, in bytes. */
export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  if (line === null) throw new Error(`/proc/${pid}/status does not say VmRSS`)
  return Number(line[1]) * 1024
}

/** Lines of the server's log at this level. */
export function logLines(berth: Berth, level: 'warn' | 'error'): string[] {
  return berth
    .log()
    .split('\n')
    .filter((line) => line.includes(`"level":"${level}"`))
}

export function portOf(url: string): number {
  return Number(new URL(url).port)
}
