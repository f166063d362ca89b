import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'

export interface Job {
  readonly name: string
  /** Pause between the end of one run and the start of the next. */
  readonly intervalMs: number
  /** One bounded run. `signal` aborts when the process stops. */
  readonly run: (signal: AbortSignal) => Promise<void>
}

/** Pauses grow from the job's interval to this after failures. */
const MAX_BACKOFF_MS = 5 * 60_000

/**
 * Runs a job again and again until the returned function is called, which resolves when the run under way has ended.
 * A failing run is logged and counted, and the pause doubles: one bad row or an unreachable store never ends the job.
 */
export function supervise(
  job: Job,
  { log, metrics }: { log: Logger; metrics: Metrics },
): () => Promise<void> {
  const controller = new AbortController()
  const { signal } = controller
  const finished = loop()

  async function loop(): Promise<void> {
    let failures = 0
    while (!signal.aborted) {
      try {
        await job.run(signal)
        failures = 0
      } catch (error) {
        if (signal.aborted) return
        failures += 1
        metrics.jobFailures.inc({ job: job.name })
        log.error({ err: error, job: job.name, failures }, 'background job failed')
      }
      await pause(Math.min(job.intervalMs * 2 ** failures, Math.max(MAX_BACKOFF_MS, job.intervalMs)), signal)
    }
  }

  return async () => {
    controller.abort()
    await finished
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
  })
}
