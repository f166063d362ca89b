import http, { type ClientRequest, type IncomingMessage } from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction, type Socket } from 'node:net'
import type { SecureContext } from 'node:tls'
import { parseIpAddress } from './address-policy.ts'
import type { Deadline } from './deadline.ts'
import {
  DEFAULT_MAX_BODY_BYTES,
  MAX_INFORMATIONAL_ANSWERS,
  MAX_RESPONSE_HEADER_BYTES,
  MAX_RESPONSE_HEADERS,
  NEXT_ADDRESS_AFTER_MS,
} from './limits.ts'
import type { OutgoingRequest, OutgoingResponse } from './outgoing.ts'
import { OutgoingError, toOutgoingError } from './outgoing-error.ts'
import { ResponseBody, tooLarge } from './response-body.ts'
import type { CheckedUrl } from './target.ts'

/** What every exchange of one guard shares. */
export interface ExchangeSetting {
  readonly userAgent: string
  readonly secureContext: () => SecureContext
  readonly connectTimeoutMs: number
  readonly idleTimeoutMs: number
}

export interface Exchange {
  readonly target: CheckedUrl
  /** All of them were checked; nothing else is connected to. */
  readonly addresses: readonly string[]
  readonly request: OutgoingRequest
  readonly setting: ExchangeSetting
  /** Ends the exchange, body included. */
  readonly deadline: Deadline
  /** Called once when the body of the answer has ended, however it did. */
  readonly onEnd: () => void
}

// Agents of our own: those of the process may have been told to use a proxy, and keep connections.
const AGENT_OPTIONS = { keepAlive: false, maxCachedSessions: 0 }
const httpAgent = new http.Agent(AGENT_OPTIONS)
const httpsAgent = new https.Agent(AGENT_OPTIONS)

// Set by this module or by Node; a caller that could set them could make the other side see another request.
const OWN_HEADERS = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'upgrade',
  'te',
  'trailer',
  'expect',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'accept-encoding',
])

/** Connects to one of the addresses, sends the request and answers with the headers. Throws `OutgoingError`. */
export function exchange(call: Exchange): Promise<OutgoingResponse> {
  const { target, request, deadline } = call
  const { promise, resolve, reject } = Promise.withResolvers<OutgoingResponse>()
  const { signal } = deadline
  const sending = open(call)
  const abort = () => sending.destroy(asError(signal.reason))
  signal.addEventListener('abort', abort, { once: true })
  const connecting = limitConnecting(sending, call)
  let informational = 0
  sending.on('information', () => {
    informational += 1
    if (informational > MAX_INFORMATIONAL_ANSWERS) sending.destroy(noHttp(target))
  })
  // An answer to no question of ours: a client that speaks HTTP/1.1 only never asks to change the protocol.
  sending.on('upgrade', (_answer, socket: Socket) => {
    socket.destroy()
    reject(noHttp(target))
  })
  sending.on('error', (error) => {
    clearTimeout(connecting)
    signal.removeEventListener('abort', abort)
    reject(signal.aborted ? signal.reason : toOutgoingError(error, target.label))
  })
  sending.on('response', (answer) => {
    signal.removeEventListener('abort', abort)
    try {
      resolve(toResponse(answer, call))
    } catch (error) {
      sending.destroy()
      reject(error)
    }
  })
  if (signal.aborted) abort()
  else sending.end(request.body)
  return promise
}

function open({ target, addresses, request, setting }: Exchange): ClientRequest {
  const { url, host, port, plainHttp } = target
  const common = {
    method: request.method ?? 'GET',
    host,
    port,
    path: `${url.pathname}${url.search}`,
    headers: { ...headersOf(request), host: target.label, 'user-agent': setting.userAgent },
    maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
    insecureHTTPParser: false,
    lookup: pinned(addresses),
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_AFTER_MS,
  }
  const tlsOptions = {
    // Without a name for SNI the certificate is checked against the address.
    servername: isIP(host) === 0 ? host : '',
    // Stated, since NODE_TLS_REJECT_UNAUTHORIZED would change the default.
    rejectUnauthorized: true,
    secureContext: plainHttp ? undefined : setting.secureContext(),
  }
  const sending = plainHttp
    ? http.request({ ...common, agent: httpAgent })
    : https.request({ ...common, ...tlsOptions, agent: httpsAgent })
  sending.maxHeadersCount = MAX_RESPONSE_HEADERS
  return sending
}

function headersOf(request: OutgoingRequest): Record<string, string> {
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  for (const [name, value] of Object.entries(request.headers ?? {})) {
    if (OWN_HEADERS.has(name.toLowerCase())) throw new TypeError(`the header ${name} is not the caller's`)
    headers[name.toLowerCase()] = value
  }
  return headers
}

/** Answers the checked addresses whatever is asked. Node does not call it for a host that is an address itself. */
function pinned(addresses: readonly string[]): LookupFunction {
  const found = addresses.map((address) => ({ address, family: isIP(address) }))
  return (_name, options, callback) => {
    const [first] = found
    if (first === undefined) callback(new Error('no address was checked'), '')
    else if (options.all) callback(null, found)
    else callback(null, first.address, first.family)
  }
}

/** Ends an attempt to connect that takes too long, or that led elsewhere than it was sent. */
function limitConnecting(sending: ClientRequest, { target, addresses, setting }: Exchange): NodeJS.Timeout {
  const timer = setTimeout(() => {
    const text = `${target.label} did not accept a connection within ${setting.connectTimeoutMs / 1000} s`
    sending.destroy(new OutgoingError('timeout', target.label, text))
  }, setting.connectTimeoutMs)
  const checked = new Set(addresses.map(inOneSpelling))
  sending.once('socket', (socket) => {
    socket.once('connect', () => {
      if (!checked.has(inOneSpelling(socket.remoteAddress ?? ''))) {
        sending.destroy(new OutgoingError('refused_address', target.label, 'the connection led elsewhere'))
      }
      if (target.plainHttp) clearTimeout(timer)
    })
    if (!target.plainHttp) socket.once('secureConnect', () => clearTimeout(timer))
    socket.once('close', () => clearTimeout(timer))
  })
  return timer
}

function inOneSpelling(address: string): string {
  return parseIpAddress(address)?.toString() ?? address
}

function toResponse(
  answer: IncomingMessage,
  { target, request, setting, deadline, onEnd }: Exchange,
): OutgoingResponse {
  const host = target.label
  const maxBytes = request.maxBytes ?? DEFAULT_MAX_BODY_BYTES
  const status = answer.statusCode ?? 0
  const isEmpty = request.method === 'HEAD' || status === 204 || status === 304
  const announcedBytes = Number(answer.headers['content-length'] ?? 0)
  // The text of a refusal may be longer than what was asked for; it is bounded when somebody reads it.
  if (!isEmpty && status < 400 && announcedBytes > maxBytes) throw tooLarge(host, maxBytes)
  const body = new ResponseBody(answer, { host, maxBytes, idleTimeoutMs: setting.idleTimeoutMs })
  const { signal } = deadline
  const abort = () => body.destroy(asError(signal.reason))
  signal.addEventListener('abort', abort, { once: true })
  // Here and now: an empty body may have closed before the caller sees the answer.
  body.once('close', () => {
    signal.removeEventListener('abort', abort)
    onEnd()
  })
  if (request.bodyTimeoutMs !== undefined) deadline.restart(request.bodyTimeoutMs)
  // Nobody reads what cannot be there, and only what was read closes.
  if (isEmpty) body.resume()
  return { status, headers: answer.headers, body }
}

function noHttp(target: CheckedUrl): OutgoingError {
  return new OutgoingError('protocol', target.label, `${target.label} did not answer in HTTP`)
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('the call was given up')
}
