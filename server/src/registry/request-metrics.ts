import type { Counter, Histogram } from 'prom-client'
import type { Metrics } from '../telemetry/metrics.ts'

/** Counts and times requests. Call `begin` first, and what it returns when the answer is done. */
export interface RequestMetrics {
  begin(): (route: string, status: number) => void
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
        counter(route, status).inc()
        histogram(route).observe((performance.now() - startMs) / 1000)
      }
    },
  }
}
