import assert from 'node:assert/strict'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'

/** Tokens as the token endpoint of a registry gives them out. */
export type Tokens = { token: string; refreshToken: string | undefined; authorization: string }

/** Asks for a token with a key's Basic authorization, as `docker login` does when `offline` is set. */
export async function fetchTokens(
  registryUrl: string,
  authorization: string,
  options: { scope?: string; offline?: boolean } = {},
): Promise<Tokens> {
  const query = new URLSearchParams({ service: new URL(registryUrl).host })
  if (options.scope !== undefined) query.set('scope', options.scope)
  if (options.offline) query.set('offline_token', 'true')
  const response = await fetch(`${registryUrl}/auth/token?${query.toString()}`, {
    headers: { authorization },
  })
  assert.equal(response.status, 200)
  const body = (await response.json()) as { token: string; refresh_token?: string }
  return { token: body.token, refreshToken: body.refresh_token, authorization: `Bearer ${body.token}` }
}

/** An upload session of one repository, driven request by request. */
export type RawUpload = {
  /** Absolute URL of the session, as the registry last gave it. */
  location(): string
  /** PATCH with one chunk at an offset. Answers the status. */
  patch(offsetBytes: number, chunk: Uint8Array, authorization: string): Promise<number>
  /** PATCH of a chunk that the caller sends piece by piece. */
  openPatch(offsetBytes: number, sizeBytes: number, authorization: string): OpenRequest
  /** GET: the status, and how many bytes the registry has. */
  status(authorization: string): Promise<{ status: number; offsetBytes: number }>
  /** PUT with the digest. Answers the status. */
  finish(digest: string, authorization: string): Promise<number>
}

/** A request whose body is sent in pieces. */
export type OpenRequest = {
  /** Resolves when the server has seen the request and wants its body. */
  readonly wanted: Promise<void>
  /** Resolves when the piece has left this process. */
  send(piece: Uint8Array): Promise<void>
  /** Ends the body and answers the status. */
  end(): Promise<number>
}

/** Starts an upload session with POST. */
export async function startRawUpload(
  registryUrl: string,
  repository: string,
  authorization: string,
): Promise<RawUpload> {
  const start = await fetch(`${registryUrl}/v2/${repository}/blobs/uploads/`, {
    method: 'POST',
    headers: { authorization },
  })
  assert.equal(start.status, 202, await start.text())
  let location = ''
  const follow = (value: string | null | undefined): void => {
    if (value) location = new URL(value, registryUrl).href
  }
  follow(start.headers.get('location'))
  const chunkHeaders = (offsetBytes: number, sizeBytes: number): Record<string, string> => ({
    'content-type': 'application/octet-stream',
    'content-range': `${offsetBytes}-${offsetBytes + sizeBytes - 1}`,
    'content-length': String(sizeBytes),
  })
  return {
    location: () => location,
    async patch(offsetBytes, chunk, as) {
      const response = await fetch(location, {
        method: 'PATCH',
        headers: { authorization: as, ...chunkHeaders(offsetBytes, chunk.byteLength) },
        body: chunk as Uint8Array<ArrayBuffer>,
      })
      await response.arrayBuffer()
      follow(response.headers.get('location'))
      return response.status
    },
    openPatch(offsetBytes, sizeBytes, as) {
      const headers = { authorization: as, expect: '100-continue', ...chunkHeaders(offsetBytes, sizeBytes) }
      return openRequest(request(location, { method: 'PATCH', headers }), (answer) =>
        follow(answer.headers.location),
      )
    },
    async status(as) {
      const response = await fetch(location, { headers: { authorization: as } })
      await response.arrayBuffer()
      const last = /^0-(\d+)$/.exec(response.headers.get('range') ?? '')?.[1]
      return { status: response.status, offsetBytes: last === undefined ? 0 : Number(last) + 1 }
    },
    async finish(digest, as) {
      const url = new URL(location)
      url.searchParams.set('digest', digest)
      const response = await fetch(url, { method: 'PUT', headers: { authorization: as } })
      await response.arrayBuffer()
      return response.status
    },
  }
}

function openRequest(outgoing: ClientRequest, onAnswer: (answer: IncomingMessage) => void): OpenRequest {
  const wanted = new Promise<void>((resolve, reject) => {
    outgoing.once('error', reject)
    outgoing.once('continue', resolve)
  })
  wanted.catch(() => {})
  const answered = new Promise<number>((resolve, reject) => {
    outgoing.once('error', reject)
    outgoing.once('response', (answer) => {
      answer.resume()
      onAnswer(answer)
      answer.once('end', () => resolve(answer.statusCode as number))
    })
  })
  answered.catch(() => {}) // Whoever ends the request hears of it.
  return {
    wanted,
    send: (piece) =>
      new Promise((resolve, reject) => {
        outgoing.write(piece, (error) => (error ? reject(error) : resolve()))
      }),
    async end() {
      outgoing.end()
      return answered
    },
  }
}
