/** One malformed input with its exact answer, and the ways to write it down. */
import type { Blob } from '../fixture.ts'
import { freshAddress } from '../fixture.ts'

/** What rows may refer to: everything here is there before the first row is sent. */
export interface Fixture {
  readonly registryPort: number
  readonly consolePort: number
  /** host:port, which is also issuer and audience of tokens. */
  readonly host: string
  /** `Basic …` of a key that may pull, push and delete in the whole project `acme`. */
  readonly basic: string
  readonly keyText: string
  readonly keyId: string
  readonly projectId: string
  readonly operatorToken: string
  /** Of the pushed image `acme/web:latest`. */
  readonly manifest: Blob
  readonly config: Blob
  /** 1000 bytes, in the database. */
  readonly layer: Blob
  /** 100 000 bytes, in the blob store. */
  readonly bigLayer: Blob
  /** Valid access token with pull and push on acme/web, and a refresh token. */
  readonly accessToken: string
  readonly refreshToken: string
  /** A valid access token of another region of the same installation. */
  readonly foreignToken: string
  /** Path of an upload session of acme/web that holds the 5 bytes `01234`; a new one each time. */
  newUpload(): Promise<string>
}

export type Surface = 'registry' | 'console'

/** The request, byte for byte, and the method that decides how its answer is read. */
export interface Wire {
  readonly method: string
  readonly bytes: Buffer
}

export interface Row {
  readonly name: string
  readonly surface: Surface
  readonly wire: (fixture: Fixture) => Wire | Promise<Wire>
  readonly status: number
  /** Null: the answer is no error. */
  readonly code: string | null
  /** In the message, such as the path of the field. */
  readonly message?: RegExp
  /** Console: the paths of all the fields that must be named. */
  readonly fields?: readonly string[]
  /** Headers of the answer; null: must not be there. */
  readonly headers?: Readonly<Record<string, RegExp | null>>
  readonly body?: (fixture: Fixture) => Buffer
  /** The request does not end, so the connection is good for nothing afterwards. */
  readonly unfinished?: true
}

export interface Parts {
  readonly method?: string
  readonly target: string
  readonly version?: string
  readonly host?: string | null
  /** Default: the key on the registry, the operator's token on the console. Null: none. */
  readonly authorization?: string | null
  /** Lines in addition, as they are. */
  readonly headers?: readonly string[]
  readonly body?: Uint8Array | string
  /** False: no Content-Length is added. */
  readonly length?: boolean
  /** False: no address of its own, the request counts for this machine. */
  readonly address?: boolean
}

/** Writes a request of the registry. */
export function registry(fixture: Fixture, parts: Parts): Wire {
  return write({ host: fixture.host, authorization: fixture.basic, ...parts })
}

/** Writes a request of the console, with a JSON body unless the parts say otherwise. */
export function console_(fixture: Fixture, parts: Parts): Wire {
  const host = `127.0.0.1:${fixture.consolePort}`
  return write({ host, authorization: `Bearer ${fixture.operatorToken}`, ...parts })
}

function write(parts: Parts): Wire {
  const method = parts.method ?? 'GET'
  const body = typeof parts.body === 'string' ? Buffer.from(parts.body) : Buffer.from(parts.body ?? [])
  const lines = [`${method} ${parts.target} ${parts.version ?? 'HTTP/1.1'}`]
  if (parts.host !== null && parts.host !== undefined) lines.push(`Host: ${parts.host}`)
  if (parts.authorization !== null && parts.authorization !== undefined) {
    lines.push(`Authorization: ${parts.authorization}`)
  }
  if (parts.address !== false) lines.push(`X-Forwarded-For: ${freshAddress()}`)
  if (parts.body !== undefined && parts.length !== false) lines.push(`Content-Length: ${body.byteLength}`)
  lines.push(...(parts.headers ?? []))
  return { method, bytes: Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body]) }
}

/** Bytes that are no request at all, or hardly one. */
export function raw(bytes: Uint8Array | string, method = 'GET'): Wire {
  return { method, bytes: typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : Buffer.from(bytes) }
}

type Answer = Pick<Row, 'status' | 'code'> & Partial<Row>

/** A row of the registry. */
export function ofRegistry(
  name: string,
  parts: Parts | ((fixture: Fixture) => Parts | Promise<Parts>),
  answer: Answer,
): Row {
  const wire = async (fixture: Fixture): Promise<Wire> =>
    registry(fixture, typeof parts === 'function' ? await parts(fixture) : parts)
  return { name, surface: 'registry', wire, ...answer }
}

/** A row of the console. */
export function ofConsole(name: string, parts: Parts | ((fixture: Fixture) => Parts), answer: Answer): Row {
  const wire = (fixture: Fixture): Wire =>
    console_(fixture, typeof parts === 'function' ? parts(fixture) : parts)
  return { name, surface: 'console', wire, ...answer }
}

/** A row of bytes as they are. */
export function ofBytes(
  name: string,
  surface: Surface,
  bytes: (fixture: Fixture) => Wire,
  answer: Answer,
): Row {
  return { name, surface, wire: bytes, ...answer }
}

export const NAME_INVALID = { status: 400, code: 'NAME_INVALID' } as const
export const DIGEST_INVALID = { status: 400, code: 'DIGEST_INVALID' } as const
export const MANIFEST_INVALID = { status: 400, code: 'MANIFEST_INVALID' } as const
export const SIZE_INVALID = { status: 400, code: 'SIZE_INVALID' } as const
export const BAD_PARAMETER = { status: 400, code: 'UNSUPPORTED' } as const
export const UNAUTHORIZED = {
  status: 401,
  code: 'UNAUTHORIZED',
  headers: { 'www-authenticate': /^Bearer realm="http:\/\/127\.0\.0\.1:\d+\/auth\/token",service="/ },
} as const
/** What the listener answers before any surface sees the request: then the connection ends. */
export const NOT_HTTP = {
  registry: { status: 400, code: 'UNSUPPORTED', headers: { connection: /^close$/ } },
  console: { status: 400, code: 'invalid_request', headers: { connection: /^close$/ } },
} as const
