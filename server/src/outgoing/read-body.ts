import type { OutgoingResponse } from './outgoing.ts'
import { OutgoingError } from './outgoing-error.ts'

/** The whole body, which the request's `maxBytes` bounds. Throws `OutgoingError`. */
export async function readBody(response: OutgoingResponse): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of response.body) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** Ends the exchange without reading the rest of the body. */
export function discardBody(response: OutgoingResponse): void {
  response.body.destroy()
}

/** The body as JSON. Throws `OutgoingError` (`protocol`) when it is not UTF-8 JSON, or is compressed. */
export async function readJson(response: OutgoingResponse, host: string): Promise<unknown> {
  const encoding = response.headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') {
    discardBody(response)
    throw new OutgoingError('protocol', host, `${host} compressed its answer though it was asked not to`)
  }
  const bytes = await readBody(response)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new OutgoingError('protocol', host, `the answer of ${host} is not JSON`)
  }
}
