import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import { type AllowEntry, allowsPlainHttp, canonicalHost } from './allow-list.ts'
import { Deadline } from './deadline.ts'
import { type ExchangeSetting, exchange } from './exchange.ts'
import {
  BODY_IDLE_TIMEOUT_MS,
  CONNECT_TIMEOUT_MS,
  MAX_EXCHANGES,
  MAX_EXCHANGES_PER_ACCOUNT,
  MAX_EXCHANGES_PER_HOST,
  MAX_WAITING_EXCHANGES,
} from './limits.ts'
import type { Outgoing, OutgoingRequest, OutgoingResponse } from './outgoing.ts'
import { OutgoingError } from './outgoing-error.ts'
import { createPlaces, type PlaceLimits } from './places.ts'
import { dnsResolver, resolveBySystem } from './resolve-name.ts'
import { type CheckedUrl, checkUrl, type Resolve, resolveTarget } from './target.ts'

export interface OutgoingOptions {
  readonly allow: readonly AllowEntry[]
  /** Certificates that are trusted beside the usual ones: PEM, or null. */
  readonly extraCaPem: string | null
  readonly userAgent: string
  /** Default: the DNS servers; the system, hosts file included, for names that `allow` lists. */
  readonly resolve?: Resolve
  readonly connectTimeoutMs?: number
  readonly idleTimeoutMs?: number
  readonly places?: PlaceLimits
}

const HTTP_PORT = '80'
const DEFAULT_PLACES: PlaceLimits = {
  total: MAX_EXCHANGES,
  waiting: MAX_WAITING_EXCHANGES,
  perKey: { host: MAX_EXCHANGES_PER_HOST, account: MAX_EXCHANGES_PER_ACCOUNT },
}

/** Makes the guard of one process. */
export function createOutgoing(options: OutgoingOptions): Outgoing {
  const { allow } = options
  const resolve = options.resolve ?? resolverFor(allow)
  const places = createPlaces(options.places ?? DEFAULT_PLACES)
  let context: SecureContext | null = null
  const setting: ExchangeSetting = {
    userAgent: options.userAgent,
    connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    idleTimeoutMs: options.idleTimeoutMs ?? BODY_IDLE_TIMEOUT_MS,
    // Made by the first use: it parses every certificate of the system.
    secureContext: () => (context ??= trustedContext(options.extraCaPem)),
  }

  async function call(
    target: CheckedUrl,
    request: OutgoingRequest,
    deadline: Deadline,
    onEnd: () => void,
  ): Promise<OutgoingResponse> {
    const looking = new Deadline(
      setting.connectTimeoutMs,
      slow(target, 'could not be looked up'),
      deadline.signal,
    )
    let addresses: readonly string[]
    try {
      addresses = await looking.race(resolveTarget(target, allow, resolve))
    } finally {
      looking.clear()
    }
    return exchange({ target, addresses, request, setting, deadline, onEnd })
  }

  return {
    async request(input, request) {
      const target = checkUrl(input, allow)
      const deadline = new Deadline(request.timeoutMs, slow(target, 'did not answer'), request.signal)
      let leave: (() => void) | null = null
      const onEnd = () => {
        deadline.clear()
        leave?.()
      }
      try {
        leave = await places.enter(placeKeys(target, request), deadline.signal)
        if (leave === null) throw tooMany(target)
        return await call(target, request, deadline, onEnd)
      } catch (error) {
        onEnd()
        throw error
      }
    },
    usesPlainHttp(text) {
      const url = URL.canParse(`http://${text}`) ? new URL(`http://${text}`) : null
      const host = url === null ? null : canonicalHost(url.hostname)
      return host !== null && allowsPlainHttp(allow, host, Number(url?.port || HTTP_PORT))
    },
  }
}

function placeKeys(target: CheckedUrl, request: OutgoingRequest): string[] {
  const host = `host:${target.host}:${target.port}`
  return request.account === undefined ? [host] : [host, `account:${request.account}`]
}

function slow(target: CheckedUrl, what: string): (timeoutMs: number) => OutgoingError {
  return (timeoutMs) =>
    new OutgoingError('timeout', target.label, `${target.label} ${what} within ${timeoutMs / 1000} s`)
}

function tooMany(target: CheckedUrl): OutgoingError {
  return new OutgoingError(
    'busy',
    target.label,
    'too many calls to other hosts are waiting; try again in a minute',
  )
}

/** The usual certificates stay trusted. The protocol floor is stated, so that no option of the process lowers it. */
function trustedContext(extraCaPem: string | null): SecureContext {
  const minVersion = 'TLSv1.2'
  if (extraCaPem === null) return createSecureContext({ minVersion })
  return createSecureContext({ minVersion, ca: [...getCACertificates('default'), extraCaPem] })
}

function resolverFor(allow: readonly AllowEntry[]): Resolve {
  const isListed = (name: string) => allow.some(({ host }) => host === name)
  const byDns = dnsResolver()
  return (name) => (isListed(name) ? resolveBySystem(name) : byDns(name))
}
