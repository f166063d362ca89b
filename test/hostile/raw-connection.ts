/** HTTP/1.1 over a plain socket: sends exactly the given bytes and reads answers by the letter of RFC 9112. */
import { connect, type Socket } from 'node:net'
import { RawHttpError, SocketReader } from './socket-reader.ts'

export interface RawAnswer {
  readonly status: number
  /** By lower-case name; a name that came twice is a mistake. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
  /** Statuses of the interim (1xx) answers before this one. */
  readonly interim: readonly number[]
}

export interface RawConnection {
  readonly socket: Socket
  readonly reader: SocketReader
  send(bytes: Uint8Array | string): void
  /** The next answer. Rejects for bytes that are no HTTP answer, and when the connection ends first. */
  readAnswer(method: string): Promise<RawAnswer>
  /** Resolves at a clean end, with what came before it and belongs to no answer that was read. */
  readRest(): Promise<Buffer>
  /** Ends it at once. */
  destroy(): void
}

/** Connects to 127.0.0.1. */
export async function openRawConnection(port: number): Promise<RawConnection> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  const reader = new SocketReader(socket)
  return {
    socket,
    reader,
    send(bytes) {
      if (typeof bytes === 'string') socket.write(bytes, 'latin1')
      else socket.write(bytes)
    },
    readAnswer: (method) => readAnswer(reader, method),
    readRest: () => reader.readRest(),
    destroy: () => {
      socket.destroy()
    },
  }
}

async function readAnswer(reader: SocketReader, method: string): Promise<RawAnswer> {
  const interim: number[] = []
  for (;;) {
    const { status, headers } = parseHead(await reader.readUntil('\r\n\r\n'))
    if (status >= 200) {
      const body = await readBody(reader, method, status, headers)
      return { status, headers, interim, body }
    }
    interim.push(status)
  }
}

const STATUS_LINE = /^HTTP\/1\.1 ([1-5]\d\d) [\x20-\x7e]*$/
const FIELD_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*?)[ \t]*$/

function parseHead(text: string): { status: number; headers: Map<string, string> } {
  const [first = '', ...lines] = text.split('\r\n')
  const status = STATUS_LINE.exec(first)?.[1]
  if (status === undefined)
    throw new RawHttpError(`not a status line: ${JSON.stringify(first.slice(0, 200))}`)
  const headers = new Map<string, string>()
  for (const line of lines) {
    const [, name, value] = FIELD_LINE.exec(line) ?? []
    if (name === undefined || value === undefined) throw new RawHttpError(`not a header: ${line}`)
    if (headers.has(name.toLowerCase())) throw new RawHttpError(`the header ${name} came twice`)
    headers.set(name.toLowerCase(), value)
  }
  return { status: Number(status), headers }
}

async function readBody(
  reader: SocketReader,
  method: string,
  status: number,
  headers: ReadonlyMap<string, string>,
): Promise<Buffer> {
  if (method === 'HEAD' || status === 204 || status === 304) return Buffer.alloc(0)
  const length = headers.get('content-length')
  if (headers.has('transfer-encoding')) {
    if (length !== undefined) throw new RawHttpError('both Content-Length and Transfer-Encoding')
    return readChunks(reader)
  }
  if (length === undefined || !/^\d+$/.test(length)) throw new RawHttpError('no Content-Length')
  return reader.readBytes(Number(length))
}

async function readChunks(reader: SocketReader): Promise<Buffer> {
  const chunks: Buffer[] = []
  for (;;) {
    const line = await reader.readUntil('\r\n')
    if (!/^[0-9a-f]+$/i.test(line)) throw new RawHttpError(`not a chunk size: ${line}`)
    const sizeBytes = Number.parseInt(line, 16)
    chunks.push(await reader.readBytes(sizeBytes))
    if ((await reader.readUntil('\r\n')) !== '') throw new RawHttpError('a chunk is longer than its size')
    if (sizeBytes === 0) return Buffer.concat(chunks)
  }
}
