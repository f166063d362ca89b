import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'

/** One answer as it came over the wire. */
export type WireReply = {
  readonly status: number
  /** Names in lower case, in the order in which they came. */
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
}

export type WireRequest = { method: string; path: string; headers?: Record<string, string>; body?: Buffer }

const timeoutMs = 20_000
const statusLine = /^HTTP\/1\.1 (\d{3}) [\x20-\x7e]*$/
const fieldLine = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\x20-\x7e\x80-\xff]*?)[ \t]*$/

/**
 * Sends requests one after the other over one connection and reads the answers by the letter of RFC 9112, which an HTTP
 * library would forgive: an answer that is longer or shorter than it says makes the next one unreadable. Throws when the
 * connection ends before the last answer, or when bytes are left over.
 */
export async function converse(host: string, requests: readonly WireRequest[]): Promise<WireReply[]> {
  const [address, port] = host.split(':')
  const socket = connect(Number(port), address)
  const reader = readFrom(socket)
  const replies: WireReply[] = []
  try {
    for (const request of requests) {
      socket.write(formatRequest(host, request))
      if (request.body !== undefined) socket.write(request.body)
      replies.push(await readReply(reader, request.method))
    }
    socket.end()
    assert.equal((await reader.rest()).toString('latin1'), '', 'bytes after the last answer')
  } finally {
    socket.destroy()
  }
  return replies
}

/** The value of a field that must occur at most once. */
export function field(reply: WireReply, name: string): string | undefined {
  const values = reply.fields.filter(([candidate]) => candidate === name).map(([, value]) => value)
  assert.ok(values.length <= 1, `${name} occurs ${values.length} times`)
  return values[0]
}

function formatRequest(host: string, { method, path, headers = {}, body }: WireRequest): string {
  const all = {
    Host: host,
    ...(body === undefined ? {} : { 'Content-Length': String(body.byteLength) }),
    ...headers,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
}

type Reader = {
  /** Everything up to and including the mark. */
  until(mark: string): Promise<Buffer>
  take(sizeBytes: number): Promise<Buffer>
  /** Everything until the other side ends. */
  rest(): Promise<Buffer>
}

function readFrom(socket: Socket): Reader {
  let buffered = Buffer.alloc(0)
  let hasEnded = false
  let failure: Error | null = null
  let wake = (): void => {}
  socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`nothing came for ${timeoutMs} ms`)))
  socket.on('data', (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk])
    wake()
  })
  socket.on('end', () => {
    hasEnded = true
    wake()
  })
  socket.on('error', (error) => {
    failure = error
    wake()
  })
  async function cut(findEnd: () => number): Promise<Buffer> {
    for (let end = findEnd(); ; end = findEnd()) {
      if (end >= 0) {
        const taken = buffered.subarray(0, end)
        buffered = buffered.subarray(end)
        return taken
      }
      if (failure !== null) throw failure
      if (hasEnded) throw new Error(`the connection ended within an answer: ${buffered.toString('latin1')}`)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return {
    until: (mark) =>
      cut(() => {
        const index = buffered.indexOf(mark)
        return index === -1 ? -1 : index + mark.length
      }),
    take: (sizeBytes) => cut(() => (buffered.byteLength >= sizeBytes ? sizeBytes : -1)),
    rest: () => cut(() => (hasEnded ? buffered.byteLength : -1)),
  }
}

async function readReply(reader: Reader, method: string): Promise<WireReply> {
  const head = (await reader.until('\r\n\r\n')).toString('latin1').slice(0, -4)
  const [first = '', ...lines] = head.split('\r\n')
  const status = Number(statusLine.exec(first)?.[1])
  assert.ok(status >= 200, `not the status line of a final answer: ${JSON.stringify(first)}`)
  const fields = lines.map((line) => {
    const match = fieldLine.exec(line)
    assert.ok(match, `not a header field: ${JSON.stringify(line)}`)
    return [(match[1] as string).toLowerCase(), match[2] as string] as const
  })
  const reply = { status, fields, body: Buffer.alloc(0) }
  const length = field(reply, 'content-length')
  assert.equal(
    field(reply, 'transfer-encoding'),
    undefined,
    'no answer of a registry needs a transfer coding',
  )
  if (status === 204 || status === 304) assert.equal(length, undefined, `Content-Length with ${status}`)
  else assert.match(String(length), /^\d+$/, 'Content-Length')
  if (method === 'HEAD' || length === undefined) return reply
  return { ...reply, body: await reader.take(Number(length)) }
}
