/** Bytes of a file on disk that make up (part of) a request body. */
export interface BodyPart {
  readonly path: string
  readonly offsetBytes: number
  readonly sizeBytes: number
}

/** One request of the load generator, with what its answer must be. */
export interface PlannedRequest {
  /** Kind of request, for the latency figures. */
  readonly label: string
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH'
  /** An absolute path; `@` stands for the Location that this connection was given last, `@?a=b` adds a parameter. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: readonly BodyPart[]
  /** Sends the body with `Transfer-Encoding: chunked` in frames of this size, instead of with Content-Length. */
  readonly frameBytes?: number
  /** Statuses that are right. Any other is an error of the run. */
  readonly expect: readonly number[]
  /** Size that the response body (for HEAD: the Content-Length) must have. */
  readonly responseBytes?: number
}

/** Requests that follow one another on one connection. */
export type Job = readonly PlannedRequest[]

/** A whole run of the load generator. Exactly one of `passes` and `durationMs` ends it. */
export interface Plan {
  readonly connections: number
  readonly jobs: readonly Job[]
  /** Times that the list of jobs is gone through; 1 unless `durationMs` is given. */
  readonly passes?: number
  /** Goes round the list of jobs until this time is over. */
  readonly durationMs?: number
}

const PROGRESS_TIMEOUT_MS = 120_000

/** Writes a plan in the text form that load/main.c reads, aimed at `127.0.0.1:port`. */
export function formatPlan(plan: Plan, port: number): string {
  const segments = new Map<string, number>()
  const headerSets = new Map<string, number>()
  const labels = new Map<string, number>()
  const lines: string[] = []
  for (const job of plan.jobs) {
    lines.push('job')
    for (const request of job) {
      const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`)
      const fields = [
        'req',
        idOf(labels, request.label),
        request.expect.join(','),
        request.responseBytes ?? -1,
        request.method,
        request.target,
        idOf(headerSets, headers.join('\t')),
        request.frameBytes ?? 0,
        ...(request.body ?? []).map(
          (part) => `${idOf(segments, part.path)}:${part.offsetBytes}:${part.sizeBytes}`,
        ),
      ]
      lines.push(fields.join('\t'))
    }
  }
  const head = [
    `target\t127.0.0.1\t${port}`,
    `connections\t${plan.connections}`,
    `timeout_ms\t${PROGRESS_TIMEOUT_MS}`,
    plan.durationMs === undefined ? `passes\t${plan.passes ?? 1}` : `duration_ms\t${plan.durationMs}`,
    ...[...segments.keys()].map((path) => `segment\t${path}`),
    ...[...headerSets.keys()].map((set) => `headers\t${set}`),
    ...[...labels.keys()].map((label) => `label\t${label}`),
  ]
  return `${[...head, ...lines].join('\n')}\n`
}

function idOf(ids: Map<string, number>, key: string): number {
  const known = ids.get(key)
  if (known !== undefined) return known
  ids.set(key, ids.size)
  return ids.size - 1
}
