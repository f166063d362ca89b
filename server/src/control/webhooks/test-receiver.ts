import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One message as a receiver got it. */
export interface Received {
  readonly id: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Test support: a receiver of webhooks on a free port of loopback, which answers as it is told. */
export interface TestReceiver {
  readonly url: string
  /** Of the listener, as the operator allows it. */
  readonly origin: string
  readonly received: Received[]
  /** How it answers from now on. */
  answer: (response: ServerResponse, message: Received) => void
  close(): Promise<void>
}

/** Opens a receiver that answers 204 until it is told otherwise. */
export async function openTestReceiver(): Promise<TestReceiver> {
  const receiver = {
    received: [] as Received[],
    answer: (response: ServerResponse, _message: Received): void => void response.writeHead(204).end(),
  }
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const message = {
        id: String(request.headers['webhook-id']),
        headers: request.headers,
        body: Buffer.concat(chunks).toString('utf8'),
      }
      receiver.received.push(message)
      receiver.answer(response, message)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return Object.assign(receiver, {
    origin,
    url: `${origin}/hook?from=berth`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}
