import { createHash } from 'node:crypto'

/** Longer than the server needs for any request when nothing but the machine is slow. */
const defaultTimeoutMs = 60_000

/** The connection ended before the whole answer came: whether the request had its effect is not known. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
}

/** No answer in time, while the connection stood: a hang. */
export class Hang extends Error {
  override readonly name = 'Hang'
}

export type Answer = { status: number; headers: Headers; text: string }
export type ReadAnswer = { status: number; digest: string; sizeBytes: number; text: string }
export type RequestOptions = { body?: Uint8Array; headers?: Record<string, string> }

/** A registry client that tells an answer from no answer, and never waits without a limit. */
export type Client = {
  /** `path` follows the registry's address, or is a whole URL as in Location. */
  send(method: string, path: string, options?: RequestOptions): Promise<Answer>
  /** GET of content: hashed as it comes; `text` only of what is at most 64 KiB. */
  read(path: string, options?: RequestOptions): Promise<ReadAnswer>
}

const keptTextBytes = 64 * 1024

export function createClient(
  registryUrl: string,
  authorization: string,
  timeoutMs: number = defaultTimeoutMs,
): Client {
  const call = async <T>(
    method: string,
    path: string,
    { body, headers = {} }: RequestOptions,
    take: (response: Response) => Promise<T>,
  ): Promise<T> => {
    const signal = AbortSignal.timeout(timeoutMs)
    try {
      const response = await fetch(new URL(path, registryUrl), {
        method,
        headers: { authorization, ...headers },
        redirect: 'manual',
        signal,
        ...(body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> }),
      })
      return await take(response)
    } catch (cause) {
      if (signal.aborted) throw new Hang(`${method} ${path}: no answer in ${timeoutMs} ms`, { cause })
      throw new NoAnswer(`${method} ${path}: ${String((cause as Error).cause ?? cause)}`, { cause })
    }
  }
  return {
    send: (method, path, options = {}) =>
      call(method, path, options, async (response) => ({
        status: response.status,
        headers: response.headers,
        text: await response.text(),
      })),
    read: (path, options = {}) => call('GET', path, options, readHashed),
  }
}

async function readHashed(response: Response): Promise<ReadAnswer> {
  const hash = createHash('sha256')
  const kept: Uint8Array[] = []
  let sizeBytes = 0
  for await (const chunk of response.body ?? []) {
    hash.update(chunk)
    sizeBytes += chunk.byteLength
    if (sizeBytes <= keptTextBytes) kept.push(chunk)
  }
  const text = sizeBytes <= keptTextBytes ? Buffer.concat(kept).toString('utf8') : ''
  return { status: response.status, digest: `sha256:${hash.digest('hex')}`, sizeBytes, text }
}

/** The code of the first error in an OCI error answer, or the empty string. */
export function errorCode(text: string): string {
  try {
    const body = JSON.parse(text) as { errors?: { code?: string }[] }
    return body.errors?.[0]?.code ?? ''
  } catch {
    return ''
  }
}
