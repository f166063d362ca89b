import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Blob } from './content.ts'
import { call, callForDigest, type Answer } from './http.ts'
import type { Job, Plan } from './load/plan.ts'
import { runLoad } from './load/loader.ts'
import { cpuMs, peakBytes, resetPeak } from './process-tree.ts'
import type { Target } from './requests.ts'
import type { LoadSample } from './sample.ts'
import type { Scope, Server } from './servers/server.ts'

/** Time after the last answer in which work that the server put off is still charged to it. */
const SETTLE_MS = 300
const PREPARE_CONNECTIONS = 16

/** What a row counts, and how much of it a load was. */
export interface Measured {
  readonly row: string
  readonly unit: LoadSample['unit']
  /** Units of work that the load did. */
  readonly work: (result: { jobs: number; requests: number; bytesIn: number; bytesOut: number }) => number
  /** Kind of request whose latencies are reported. */
  readonly label?: string
  /** Where the load goes; default: the registry. */
  readonly port?: number
}

/** A running server with the means to load, measure and check it. */
export interface Session {
  readonly server: Server
  /** Headers and name for requests to a repository, with a credential for pull and push and pull of `from`. */
  target(repository: string, from?: string): Promise<Target>
  /** Sends jobs outside the measurement. */
  prepare(jobs: readonly Job[]): Promise<void>
  /** Runs a plan and measures it. */
  measure(plan: Plan, measured: Measured): Promise<LoadSample>
  /** A request by hand, for checks. */
  call(target: Target, path: string, headers?: Record<string, string>): Promise<Answer>
  /** Reads a blob back and throws unless its bytes have its digest. */
  checkBlob(target: Target, blob: Blob): Promise<void>
}

/** Opens a session; `planPath` is a scratch file for plans. */
export function openSession(server: Server, loader: string, planPath: string): Session {
  const { port } = server.site
  return {
    server,
    async target(repository, from) {
      const scopes: Scope[] = [`repository:${repository}:pull,push`]
      if (from !== undefined) scopes.push(`repository:${from}:pull`)
      const authorization = await server.authorize(scopes)
      const headers = { Host: server.host, 'User-Agent': 'berth-bench' }
      return {
        repository,
        headers: authorization === null ? headers : { ...headers, Authorization: authorization },
      }
    },
    async prepare(jobs) {
      await runLoad(loader, planPath, { connections: PREPARE_CONNECTIONS, jobs }, port)
    },
    async measure(plan, measured) {
      await settleDisk(server.site.folder)
      await resetPeak(server.pid())
      const before = await cpuMs(server.pid())
      const result = await runLoad(loader, planPath, plan, measured.port ?? port)
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
      const latency = measured.label === undefined ? undefined : result.latencies[measured.label]
      return {
        kind: 'load',
        row: measured.row,
        unit: measured.unit,
        work: measured.work({
          jobs: result.jobs,
          requests: result.requests,
          bytesIn: result.bodyBytesIn,
          bytesOut: result.bodyBytesOut,
        }),
        wallMs: result.wallMs,
        cpuMs: (await cpuMs(server.pid())) - before,
        clientCpuMs: result.clientCpuMs,
        peakBytes: await peakBytes(server.pid()),
        p50Us: latency?.p50Us ?? 0,
        p99Us: latency?.p99Us ?? 0,
      }
    },
    call: (target, path, headers = {}) =>
      call({ port, method: 'GET', path, headers: { ...target.headers, ...headers } }),
    async checkBlob(target, blob) {
      const path = `/v2/${target.repository}/blobs/${blob.digest}`
      const { status, digest } = await callForDigest({ port, method: 'GET', path, headers: target.headers })
      if (status !== 200 || digest !== blob.digest) {
        throw new Error(`${server.adapter.id}: GET ${path} gave ${status} and the bytes of ${digest}`)
      }
    },
  }
}

/** Waits until what was written before is on disk, so that one server does not pay for another's dirty pages. */
export async function settleDisk(folder: string): Promise<void> {
  await promisify(execFile)('sync', ['-f', folder])
}
