import type { IncomingMessage, ServerResponse } from 'node:http'
import ipaddr from 'ipaddr.js'
import type { Metrics } from '../telemetry/metrics.ts'

/** One thing that must work for the process to be ready. `check` throws when it does not. */
export interface ReadinessCheck {
  readonly name: string
  readonly check: () => Promise<void>
}

export interface HealthOptions {
  readonly checks: readonly ReadinessCheck[]
  readonly metrics: Metrics
  /** True when the request carries the operator's token. */
  readonly isOperator: (request: IncomingMessage) => Promise<boolean>
  /** CIDRs that may see details without the token. */
  readonly allow: readonly string[]
  /** A proxy on this machine forwards for others, whether or not it says so. */
  readonly isProxy: (address: string) => boolean
  readonly isDraining: () => boolean
}

const CHECK_TIMEOUT_MS = 3_000
/** Checks write to the disk, and anybody may ask: more askers share one answer. */
const CHECK_AGE_MS = 1_000

/**
 * `/livez`, `/readyz` and `/metrics`, the same on both ports. Returns false for any other path.
 *
 * Everybody may know whether the process lives and is ready. What exactly is wrong, and the metrics, are for the
 * operator, for loopback that is no trusted proxy, and for allowed addresses; others are told 404 so that the answer
 * says nothing about the installation.
 */
export function createHealthHandler(
  options: HealthOptions,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const runChecks = shareRecent(() => Promise.all(options.checks.map(runCheck)))
  return (request, response) => {
    const path = request.url?.split('?', 1)[0]
    if (path !== '/livez' && path !== '/readyz' && path !== '/metrics') return false
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      send(response, 405, 'method not allowed\n', { Allow: 'GET, HEAD' })
    } else if (path === '/livez') {
      send(response, 200, 'ok\n')
    } else {
      const answered =
        path === '/readyz'
          ? answerReady(options, runChecks, request, response)
          : answerMetrics(options, request, response)
      answered.catch(() => send(response, 500, 'failed\n'))
    }
    return true
  }
}

async function answerReady(
  options: HealthOptions,
  runChecks: () => Promise<CheckResult[]>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const results = await runChecks()
  const ready = !options.isDraining() && results.every((result) => result.ok)
  const status = ready ? 200 : 503
  if (!(await maySeeDetails(options, request))) {
    send(response, status, ready ? 'ready\n' : 'not ready\n')
    return
  }
  const checks = Object.fromEntries(results.map(({ name, ok, error }) => [name, ok ? 'ok' : error]))
  send(response, status, `${JSON.stringify({ ready, draining: options.isDraining(), checks })}\n`, {
    'Content-Type': 'application/json',
  })
}

interface CheckResult {
  readonly name: string
  readonly ok: boolean
  readonly error: string
}

/** Calls `act` at most once per `CHECK_AGE_MS`; calls in between get the same answer. */
function shareRecent<T>(act: () => Promise<T>): () => Promise<T> {
  let recent: { answer: Promise<T>; startedAtMs: number } | null = null
  return () => {
    const nowMs = performance.now()
    if (recent === null || nowMs - recent.startedAtMs >= CHECK_AGE_MS)
      recent = { answer: act(), startedAtMs: nowMs }
    return recent.answer
  }
}

async function runCheck({ name, check }: ReadinessCheck): Promise<CheckResult> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('timed out')), CHECK_TIMEOUT_MS)
  })
  try {
    await Promise.race([check(), timeout])
    return { name, ok: true, error: '' }
  } catch (error) {
    return { name, ok: false, error: error instanceof Error ? error.message : 'failed' }
  } finally {
    clearTimeout(timer)
  }
}

async function answerMetrics(
  options: HealthOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (!(await maySeeDetails(options, request))) {
    send(response, 404, 'not found\n')
    return
  }
  const { registry } = options.metrics
  send(response, 200, await registry.metrics(), { 'Content-Type': registry.contentType })
}

async function maySeeDetails(options: HealthOptions, request: IncomingMessage): Promise<boolean> {
  const peer = request.socket.remoteAddress ?? ''
  const forwarded =
    request.headers['x-forwarded-for'] !== undefined || request.headers['forwarded'] !== undefined
  if (!forwarded && peer !== '') {
    if (isIn(peer, options.allow) || (isLoopback(peer) && !options.isProxy(peer))) return true
  }
  return options.isOperator(request)
}

function isLoopback(address: string): boolean {
  return ipaddr.process(address).range() === 'loopback'
}

function isIn(address: string, cidrs: readonly string[]): boolean {
  const parsed = ipaddr.process(address)
  return cidrs.some((cidr) => {
    const [network, bits] = ipaddr.parseCIDR(cidr)
    return network.kind() === parsed.kind() && parsed.match(network, bits)
  })
}

function send(
  response: ServerResponse,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'Content-Length': Buffer.byteLength(body),
    ...headers,
  })
  response.end(body)
}
