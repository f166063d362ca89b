import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { findRequestMistake } from './request-check.ts'

/** A request that no surface gets to see. */
export interface Refusal {
  readonly status: 400 | 405 | 408 | 413 | 417 | 431
  /** For the client. */
  readonly message: string
}

export interface RefusalAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Words a refusal as the surface words its errors; later, when it has to be loaded for that. */
export type RenderRefusal = (refusal: Refusal) => RefusalAnswer | Promise<RefusalAnswer>

/** How long a refused connection may stay half open, so that the client gets to read the answer. */
const LINGER_MS = 2_000

const PARSER_ERRORS: Readonly<Record<string, Refusal>> = {
  HPE_HEADER_OVERFLOW: { status: 431, message: 'the header is too large' },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: { status: 413, message: 'the chunk extensions are too large' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, message: 'the header took too long to arrive' },
}
const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  417: 'Expectation Failed',
  431: 'Request Header Fields Too Large',
}
const NOT_HTTP: Refusal = { status: 400, message: 'the request is not well-formed HTTP' }
const NO_TUNNELS: Refusal = { status: 405, message: 'this is no proxy' }
const NO_EXPECTATION: Refusal = { status: 417, message: 'no expectation but 100-continue can be met' }

/**
 * Passes requests on to the handler, also those that wait for `100 Continue`: the handler decides whether it wants the
 * body before the client sends it. What is not well-formed, or could be read in two ways, is refused here, and ends
 * the connection: where the next request begins is then anybody's guess.
 */
export function refuseMalformed(
  server: Server,
  { handler, renderRefusal }: { readonly handler: RequestListener; readonly renderRefusal: RenderRefusal },
): void {
  const ending = new WeakSet<Socket>()
  /** Not yet answered; several when requests are pipelined. */
  const running = new WeakMap<Socket, readonly ServerResponse[]>()

  const onRequest: RequestListener = (request, response) => {
    const { socket } = request
    if (ending.has(socket)) return
    running.set(socket, [...unfinished(running.get(socket)), response])
    const mistake = findRequestMistake(request)
    if (mistake === null) handler(request, response)
    else refuse(request, response, { status: 400, message: mistake })
  }
  server.on('request', onRequest)
  server.on('checkContinue', onRequest)
  server.on('checkExpectation', (request, response) => refuse(request, response, NO_EXPECTATION))
  server.on('connect', (_request, socket: Socket) => end(socket, NO_TUNNELS))
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // Each further packet is the same error again.
    if (ending.has(socket)) return
    const isAnswering = unfinished(running.get(socket)).some((response) => response.headersSent)
    if (error.code === 'ECONNRESET' || !socket.writable || isAnswering) {
      // In the middle of an answer any byte of ours would be taken for a part of it.
      socket.destroy()
      return
    }
    end(socket, PARSER_ERRORS[error.code ?? ''] ?? NOT_HTTP)
  })

  /** Node closes the connection behind the answer, and not before the answers of earlier requests. */
  function refuse(request: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
    const { socket } = request
    answer(socket, refusal, ({ status, headers, body }) => {
      response.writeHead(status, { ...headers, ...framing(body) })
      response.end(request.method === 'HEAD' ? undefined : body)
    })
  }

  /** Without a response: the parser has not come so far. */
  function end(socket: Socket, refusal: Refusal): void {
    linger(socket)
    answer(socket, refusal, ({ status, headers, body }) => {
      const fields = Object.entries({ ...headers, ...framing(body) })
      const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`)
      socket.end(`HTTP/1.1 ${status} ${REASONS[status] ?? 'Refused'}\r\n${lines.join('')}\r\n${body}`)
    })
  }

  function answer(socket: Socket, refusal: Refusal, write: (answer: RefusalAnswer) => void): void {
    ending.add(socket)
    // The client may be gone before the answer is there.
    socket.on('error', () => socket.destroy())
    Promise.resolve(renderRefusal(refusal)).then(write, () => socket.destroy())
  }
}

function unfinished(responses: readonly ServerResponse[] = []): readonly ServerResponse[] {
  return responses.filter((response) => !response.writableFinished)
}

function framing(body: string): Record<string, string> {
  return { 'Content-Length': String(Buffer.byteLength(body)), Connection: 'close' }
}

/** Closing at once, with bytes of the client unread, would reset the connection and lose the answer. */
function linger(socket: Socket): void {
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
}
