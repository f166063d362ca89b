import type { Counter, Histogram } from 'prom-client'
import type { Metrics } from '../telemetry/metrics.ts'

/** Counts and times requests. Call `begin` first, and what it returns when the answer is done: it tells how long it took. */
export interface RequestMetrics {
  begin(): (route: string, status: number) => number
}

/** The children for each label set are kept: looking one up by its labels costs more than counting. */
export function createRequestMetrics(metrics: Metrics): RequestMetrics {
  const counters = new Map<string, Counter.Internal>()
  const histograms = new Map<string, Histogram.Internal<'surface' | 'route'>>()

  function counter(route: string, status: number): Counter.Internal {
    const key = `${route} ${status}`
    let child = counters.get(key)
    if (child === undefined) {
      child = metrics.requests.labels('registry', route, String(status))
      counters.set(key, child)
    }
    return child
  }

  function histogram(route: string): Histogram.Internal<'surface' | 'route'> {
    let child = histograms.get(route)
    if (child === undefined) {
      child = metrics.requestSeconds.labels('registry', route)
      histograms.set(route, child)
    }
    return child
  }

  return {
    begin() {
      const startMs = performance.now()
      return (route, status) => {
        const tookMs = performance.now() - startMs
        counter(route, status).inc()
        histogram(route).observe(tookMs / 1000)
        return tookMs
      }
    },
  }
}
