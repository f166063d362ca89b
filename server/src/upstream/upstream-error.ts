import { OutgoingError, type OutgoingReason, type TlsProblem } from '../outgoing/outgoing-error.ts'
import type { UpstreamReason } from './upstream.ts'

export interface UpstreamFailure {
  readonly reason: UpstreamReason
  /** For people; without secrets. */
  readonly message: string
  /** What a person can do about it. */
  readonly nextStep: string
  /** Status of the answer; null when there was none. */
  readonly status?: number | null
  readonly retryAfterSeconds?: number | null
}

/** Another registry could not be used. */
export class UpstreamError extends Error {
  readonly reason: UpstreamReason
  readonly nextStep: string
  readonly status: number | null
  readonly retryAfterSeconds: number | null

  constructor(failure: UpstreamFailure) {
    super(failure.message)
    this.name = 'UpstreamError'
    this.reason = failure.reason
    this.nextStep = failure.nextStep
    this.status = failure.status ?? null
    this.retryAfterSeconds = failure.retryAfterSeconds ?? null
  }
}

const REASONS: Record<OutgoingReason, UpstreamReason> = {
  refused_url: 'refused_address',
  refused_address: 'refused_address',
  dns: 'dns',
  connect: 'connect',
  tls: 'tls',
  timeout: 'timeout',
  too_large: 'bad_answer',
  redirect: 'redirect',
  protocol: 'not_a_registry',
  busy: 'unavailable',
}

const NEXT_STEPS: Record<Exclude<OutgoingReason, 'tls'>, string> = {
  refused_url: 'Check the host and port. A private or plain-HTTP registry must be allowed by an operator.',
  refused_address:
    'If this registry is in a private network, ask an operator to add it to BERTH_OUTGOING_ALLOW.',
  dns: 'Check the spelling of the host, and that its name can be looked up from where Berth runs.',
  connect: 'Check the host and port, that the registry runs, and that no firewall is in between.',
  timeout: 'Check that the registry runs and that no firewall drops the connection, then try again.',
  too_large: 'The registry answered with more than it should. Check that the host is a registry.',
  redirect: 'Use the host that the registry is really at.',
  protocol: 'Check that the host and port are those of a container registry.',
  busy: 'Try again in a minute.',
}

const TLS_NEXT_STEPS: Record<TlsProblem, string> = {
  expired: 'The certificate must be renewed by whoever runs the registry.',
  not_yet_valid: 'Check the clocks of both machines; the certificate starts in the future.',
  unknown_ca:
    'If the registry uses a certificate authority of its own, ask an operator to add it with BERTH_OUTGOING_CA_FILE.',
  wrong_name: 'Use the host name that the certificate is for, or have the certificate corrected.',
  not_tls:
    'Check the port. A registry without TLS must be allowed by an operator, as http://host:port in BERTH_OUTGOING_ALLOW.',
  other: 'Check the TLS settings of the registry.',
}

/** What happened on the way, as an UpstreamError. Anything else is thrown on as it is. */
export function toUpstreamError(error: unknown): unknown {
  if (!(error instanceof OutgoingError)) return error
  const nextStep =
    error.reason === 'tls' ? TLS_NEXT_STEPS[error.tlsProblem ?? 'other'] : NEXT_STEPS[error.reason]
  return new UpstreamError({ reason: REASONS[error.reason], message: error.message, nextStep })
}
