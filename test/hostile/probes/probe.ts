/** A request about a thing, and its answer with everything taken out that may differ. */
import { freshAddress } from '../fixture.ts'
import { openRawConnection } from '../raw-connection.ts'

export interface Probe {
  readonly method: string
  readonly target: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | string
}

/** An answer as two callers must not be able to tell it apart. */
export interface Shown {
  readonly status: number
  readonly headers: readonly string[]
  readonly body: string
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g
const CONSOLE_REQUEST_ID = /"requestId":"[0-9a-f]{24}"/g

/** Sends the probe over a connection of its own. `names`: what the request names, which answers may repeat. */
export async function show(
  port: number,
  probe: Probe,
  authorization: string | null,
  names: readonly string[],
): Promise<Shown> {
  const body = typeof probe.body === 'string' ? Buffer.from(probe.body) : Buffer.from(probe.body ?? [])
  const headers: Record<string, string> = {
    Host: `127.0.0.1:${port}`,
    'X-Forwarded-For': freshAddress(),
    ...(authorization === null ? {} : { Authorization: authorization }),
    ...(probe.body === undefined ? {} : { 'Content-Length': String(body.byteLength) }),
    ...probe.headers,
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const connection = await openRawConnection(port)
  try {
    // At once: whether the body has come already decides whether a refusal closes the connection.
    const head = Buffer.from(`${probe.method} ${probe.target} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1')
    connection.send(Buffer.concat([head, body]))
    const answer = await connection.readAnswer(probe.method)
    const kept = [...answer.headers].filter(([name]) => name !== 'date' && name !== 'x-request-id')
    return {
      status: answer.status,
      headers: kept.map(([name, value]) => `${name}: ${neutral(value, names)}`),
      body: neutral(answer.body.toString('latin1'), names),
    }
  } finally {
    connection.destroy()
  }
}

function neutral(text: string, names: readonly string[]): string {
  const longestFirst = names.toSorted((a, b) => b.length - a.length)
  const named = longestFirst.reduce((rest, name) => rest.replaceAll(name, '<name>'), text)
  return named.replaceAll(UUID, '<id>').replaceAll(CONSOLE_REQUEST_ID, '"requestId":"<id>"')
}
