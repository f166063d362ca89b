import { MAX_QUOTED_LENGTH } from './limits.ts'

/** Why an outgoing call failed. `refused_*`: Berth did not even connect. */
export type OutgoingReason =
  | 'refused_url'
  | 'refused_address'
  | 'dns'
  | 'connect'
  | 'tls'
  | 'timeout'
  | 'too_large'
  | 'redirect'
  | 'protocol'
  | 'busy'

/** What is wrong with the other side's TLS. */
export type TlsProblem = 'expired' | 'not_yet_valid' | 'unknown_ca' | 'wrong_name' | 'not_tls' | 'other'

/**
 * An outgoing call that did not come to its end. The message is for the person who aimed the call: it names the host
 * but never a header, a path, a query or an address behind a name.
 */
export class OutgoingError extends Error {
  readonly reason: OutgoingReason
  /** Host, with its port unless it is the scheme's own. */
  readonly host: string
  /** Null unless the reason is `tls`. */
  readonly tlsProblem: TlsProblem | null

  constructor(reason: OutgoingReason, host: string, message: string, tlsProblem: TlsProblem | null = null) {
    super(message)
    this.name = 'OutgoingError'
    this.reason = reason
    this.host = host
    this.tlsProblem = tlsProblem
  }
}

const EXPIRED = new Set(['CERT_HAS_EXPIRED'])
const NOT_YET_VALID = new Set(['CERT_NOT_YET_VALID'])
const UNKNOWN_CA = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_UNTRUSTED',
])
const OTHER_CERTIFICATE = new Set([
  'CERT_REVOKED',
  'CERT_REJECTED',
  'CERT_SIGNATURE_FAILURE',
  'CERT_CHAIN_TOO_LONG',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'PATH_LENGTH_EXCEEDED',
  'HOSTNAME_MISMATCH',
])
// What OpenSSL says when the first bytes of the answer are no TLS record.
const NOT_TLS = /wrong version number|packet length too long|http request|unknown protocol/i

/** Translates what Node throws while it connects, sends or reads. */
export function toOutgoingError(error: unknown, host: string): OutgoingError {
  if (error instanceof OutgoingError) return error
  const { code, message } = describe(error)
  const tls = tlsProblemOf(code, message)
  if (tls !== null) return new OutgoingError('tls', host, tlsMessage(tls, host, error), tls)
  if (code.startsWith('HPE_')) {
    const what = code === 'HPE_HEADER_OVERFLOW' ? 'sent too many headers' : 'did not answer in HTTP'
    return new OutgoingError('protocol', host, `${host} ${what} (${code})`)
  }
  switch (code) {
    case 'ECONNREFUSED':
      return new OutgoingError('connect', host, `nothing accepts connections at ${host}`)
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EADDRNOTAVAIL':
      return new OutgoingError('connect', host, `there is no way to ${host} from here (${code})`)
    case 'ETIMEDOUT':
      return new OutgoingError('timeout', host, `${host} did not accept a connection in time`)
    case 'ECONNRESET':
    case 'EPIPE':
      return new OutgoingError(
        'connect',
        host,
        `${host} closed the connection before its answer was complete`,
      )
    default:
      return new OutgoingError('connect', host, `no answer from ${host}${code === '' ? '' : ` (${code})`}`)
  }
}

/** A short piece of the other side's text, without what could break a line or a log. */
export function quoted(text: string): string {
  const plain = text.replaceAll(/[^\x20-\x7e]/g, '?')
  return plain.length > MAX_QUOTED_LENGTH ? `${plain.slice(0, MAX_QUOTED_LENGTH)}…` : plain
}

function describe(error: unknown): { code: string; message: string } {
  if (!(error instanceof Error)) return { code: '', message: '' }
  // With several addresses Node gathers one error for each; the first says enough.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error
  const code = (error as NodeJS.ErrnoException).code ?? (first as NodeJS.ErrnoException | undefined)?.code
  return { code: typeof code === 'string' ? code : '', message: error.message }
}

function tlsProblemOf(code: string, message: string): TlsProblem | null {
  if (EXPIRED.has(code)) return 'expired'
  if (NOT_YET_VALID.has(code)) return 'not_yet_valid'
  if (UNKNOWN_CA.has(code)) return 'unknown_ca'
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'wrong_name'
  if (OTHER_CERTIFICATE.has(code)) return 'other'
  if (!code.startsWith('ERR_SSL_') && !code.startsWith('ERR_TLS_') && code !== 'EPROTO') return null
  return NOT_TLS.test(message) || code === 'ERR_SSL_WRONG_VERSION_NUMBER' ? 'not_tls' : 'other'
}

function tlsMessage(problem: TlsProblem, host: string, error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown'
  switch (problem) {
    case 'expired':
      return `the TLS certificate of ${host} has expired`
    case 'not_yet_valid':
      return `the TLS certificate of ${host} is not valid yet`
    case 'unknown_ca':
      return `the TLS certificate of ${host} is signed by nobody that this installation knows (${code})`
    case 'wrong_name':
      return `the TLS certificate of ${host} is for another name: ${namesOf(error)}`
    case 'not_tls':
      return `${host} does not speak TLS on this port`
    case 'other':
      return `the TLS connection to ${host} failed (${code})`
  }
}

interface ErrorWithCertificate {
  readonly cert?: { readonly subjectaltname?: string }
}

function namesOf(error: unknown): string {
  const names = (error as ErrorWithCertificate).cert?.subjectaltname
  return names === undefined ? 'it names no host' : quoted(names)
}
