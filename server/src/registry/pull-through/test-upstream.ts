import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { startDockerRegistry } from '../../../../test/support/servers/docker-registry.ts'
import { describeContent, imageManifest, type Pushed } from '../test-content.ts'

/*
 * Test support: a real registry (Debian's docker-registry with a login) behind a proxy that counts, and that can be told
 * to do what a registry in trouble does.
 */

/** What happens to a request: null lets it through. */
export type Fault = (req: http.IncomingMessage, res: http.ServerResponse) => boolean

export interface TestUpstream {
  /** host:port of the proxy, which speaks plain HTTP. */
  readonly host: string
  readonly login: { readonly username: string; readonly password: string }
  /** `METHOD /path` of what came through the proxy since the last call. */
  takeRequests(): string[]
  /** Requests are given to `fault` first; what it answers `true` to goes no further. */
  setFault(fault: Fault | null): void
  /** Changes the bytes of each answer to GET with this path. */
  rewrite(path: string, change: (body: Buffer) => Buffer): void
  /** Every `Authorization` that was seen. */
  readonly authorizations: Set<string>
  pushBlob(repository: string, content?: Buffer): Promise<Pushed>
  pushManifest(repository: string, reference: string, manifest: Pushed): Promise<Pushed>
  /** An image with two layers, the second of `layerBytes`. */
  pushImage(repository: string, tag: string, layerBytes?: number): Promise<UpstreamImage>
  close(): Promise<void>
}

export interface UpstreamImage {
  readonly manifest: Pushed
  readonly config: Pushed
  readonly layers: readonly Pushed[]
}

const LOGIN = { username: 'puller', password: 'correct-horse-battery' }

/** Starts both. */
export async function startTestUpstream(): Promise<TestUpstream> {
  const registry = await startDockerRegistry({ credentials: LOGIN })
  const authorization = `Basic ${Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString('base64')}`
  const requests: string[] = []
  const authorizations = new Set<string>()
  const rewrites = new Map<string, (body: Buffer) => Buffer>()
  let fault: Fault | null = null
  const server = http.createServer((req, res) => {
    requests.push(`${req.method} ${req.url}`)
    if (req.headers.authorization !== undefined) authorizations.add(req.headers.authorization)
    if (fault?.(req, res) === true) return
    void forward(registry.url, req, res, rewrites.get(req.url ?? ''))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  async function put(url: string, content: Buffer, mediaType: string): Promise<void> {
    const headers = { authorization, 'content-type': mediaType }
    const answer = await fetch(url, { method: 'PUT', headers, body: new Uint8Array(content) })
    assert.equal(answer.status, 201, await answer.text())
  }

  async function pushBlob(repository: string, content = randomBytes(64)): Promise<Pushed> {
    const blob = describeContent(content, 'application/octet-stream')
    const start = await fetch(`${registry.url}/v2/${repository}/blobs/uploads/`, {
      method: 'POST',
      headers: { authorization },
    })
    const location = new URL(start.headers.get('location') ?? '', registry.url)
    location.searchParams.set('digest', blob.digest)
    await put(location.href, content, 'application/octet-stream')
    return blob
  }

  async function pushManifest(repository: string, reference: string, manifest: Pushed): Promise<Pushed> {
    await put(`${registry.url}/v2/${repository}/manifests/${reference}`, manifest.content, manifest.mediaType)
    return manifest
  }

  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    login: LOGIN,
    takeRequests: () => requests.splice(0),
    setFault(next) {
      fault = next
    },
    rewrite: (path, change) => void rewrites.set(path, change),
    authorizations,
    pushBlob,
    pushManifest,
    async pushImage(repository, tag, layerBytes = 100_000) {
      const config = await pushBlob(
        repository,
        Buffer.from(JSON.stringify({ seed: randomBytes(8).toString('hex') })),
      )
      const layers = [await pushBlob(repository), await pushBlob(repository, randomBytes(layerBytes))]
      return { manifest: await pushManifest(repository, tag, imageManifest(config, layers)), config, layers }
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await registry.stop()
    },
  }
}

/** Hands a request on and its answer back, whole when it is to be changed. */
function forward(
  origin: string,
  req: http.IncomingMessage,
  res: http.ServerResponse,
  change: ((body: Buffer) => Buffer) | undefined,
): Promise<void> {
  return new Promise((resolve) => {
    const onward = http.request(new URL(req.url ?? '', origin), {
      method: req.method,
      headers: req.headers,
      agent: false,
    })
    onward.on('error', () => {
      res.destroy()
      resolve()
    })
    onward.on('response', (answer) => {
      res.writeHead(answer.statusCode ?? 500, answer.headers)
      res.on('close', resolve)
      if (change === undefined || req.method !== 'GET') {
        answer.pipe(res)
        return
      }
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('end', () => res.end(change(Buffer.concat(chunks))))
    })
    req.pipe(onward)
  })
}
