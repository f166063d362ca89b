import { createRequire } from 'node:module'
import type * as promClient from 'prom-client'

// Only what is used: the package's main file also loads its push gateway and cluster support, 5 MiB of them.
const load = createRequire(import.meta.url)
const Counter = load('prom-client/lib/counter.js') as typeof promClient.Counter
const Gauge = load('prom-client/lib/gauge.js') as typeof promClient.Gauge
const Histogram = load('prom-client/lib/histogram.js') as typeof promClient.Histogram
const Registry = load('prom-client/lib/registry.js') as typeof promClient.Registry
const collectDefaultMetrics = load(
  'prom-client/lib/defaultMetrics.js',
) as typeof promClient.collectDefaultMetrics

/** The process's metrics, in one place so that their names and labels stay a small and stable list. */
export interface Metrics {
  readonly registry: promClient.Registry
  /** Labels: surface (`registry`, `console`), route (the request's kind, never a path), status. */
  readonly requests: promClient.Counter<'surface' | 'route' | 'status'>
  /** Seconds until the answer's last byte. Labels: surface, route. */
  readonly requestSeconds: promClient.Histogram<'surface' | 'route'>
  /** Blob bytes. Label direction: `in`, `out`. */
  readonly blobBytes: promClient.Counter<'direction'>
  /** Label reason: `invalid`, `expired`, `revoked`, `rate_limited`, `unavailable`. */
  readonly authenticationFailures: promClient.Counter<'reason'>
  readonly activeTransfers: promClient.Gauge<'direction'>
  /** Label kind: `manifest`, `blob`. */
  readonly gcRemoved: promClient.Counter<'region' | 'kind'>
  readonly gcFreedBytes: promClient.Counter<'region'>
  readonly gcTasks: promClient.Gauge<'region' | 'kind'>
  readonly gcLastSuccess: promClient.Gauge<'region'>
  readonly accessFeedLag: promClient.Gauge<'region'>
  readonly jobFailures: promClient.Counter<'job'>
  /**
   * What was pulled through connected registries. Label kind: `manifest`, `blob`, `tags`, `referrers`. Label result:
   * `hit` (nobody was asked), `compared` (the copy is still right), `miss` (fetched), `stale` (a copy, because the
   * registry could not be asked), `error`.
   */
  readonly pullThrough: promClient.Counter<'kind' | 'result'>
}

const EVENT_LOOP_PRECISION_MS = 50
const REQUEST_SECONDS_BUCKETS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600]

/** Makes the metrics and Node's own ones (memory, event loop, garbage collection). */
export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_PRECISION_MS })
  return { registry, ...requestMetrics([registry]), ...upkeepMetrics([registry]) }
}

type RequestMetrics = Pick<
  Metrics,
  'requests' | 'requestSeconds' | 'blobBytes' | 'authenticationFailures' | 'activeTransfers'
>

function requestMetrics(registers: promClient.Registry[]): RequestMetrics {
  return {
    requests: new Counter({
      registers,
      name: 'berth_http_requests_total',
      help: 'Requests answered.',
      labelNames: ['surface', 'route', 'status'],
    }),
    requestSeconds: new Histogram({
      registers,
      name: 'berth_http_request_duration_seconds',
      help: 'Time from a request to the last byte of its answer.',
      labelNames: ['surface', 'route'],
      buckets: REQUEST_SECONDS_BUCKETS,
    }),
    blobBytes: new Counter({
      registers,
      name: 'berth_blob_bytes_total',
      help: 'Blob bytes received from and sent to clients.',
      labelNames: ['direction'],
    }),
    authenticationFailures: new Counter({
      registers,
      name: 'berth_authentication_failures_total',
      help: 'Credentials that were refused.',
      labelNames: ['reason'],
    }),
    activeTransfers: new Gauge({
      registers,
      name: 'berth_active_transfers',
      help: 'Blob transfers under way.',
      labelNames: ['direction'],
    }),
  }
}

function upkeepMetrics(registers: promClient.Registry[]): Omit<Metrics, 'registry' | keyof RequestMetrics> {
  return {
    gcRemoved: new Counter({
      registers,
      name: 'berth_gc_removed_total',
      help: 'Things that garbage collection removed for good.',
      labelNames: ['region', 'kind'],
    }),
    gcFreedBytes: new Counter({
      registers,
      name: 'berth_gc_freed_bytes_total',
      help: 'Bytes that garbage collection freed.',
      labelNames: ['region'],
    }),
    gcTasks: new Gauge({
      registers,
      name: 'berth_gc_tasks',
      help: 'Queued looks at things that may be unreferenced.',
      labelNames: ['region', 'kind'],
    }),
    gcLastSuccess: new Gauge({
      registers,
      name: 'berth_gc_last_success_timestamp_seconds',
      help: 'When a garbage collection cycle last ended well.',
      labelNames: ['region'],
    }),
    accessFeedLag: new Gauge({
      registers,
      name: 'berth_access_feed_lag',
      help: 'Changes of the access feed that a region has not applied yet.',
      labelNames: ['region'],
    }),
    pullThrough: new Counter({
      registers,
      name: 'berth_pull_through_total',
      help: 'Answers from connected registries and the copies of their content.',
      labelNames: ['kind', 'result'],
    }),
    jobFailures: new Counter({
      registers,
      name: 'berth_job_failures_total',
      help: 'Failed runs of background jobs.',
      labelNames: ['job'],
    }),
  }
}
