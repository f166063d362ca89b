import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { formatPlan, type Plan } from './plan.ts'

const SOURCES = ['main.c', 'plan.c', 'send.c', 'receive.c'] as const
const HEADERS = ['load.h'] as const
const CFLAGS = ['-O2', '-Wall', '-Wextra', '-std=gnu11'] as const

/** Latency figures of one kind of request. */
export interface Latency {
  readonly count: number
  readonly p50Us: number
  readonly p99Us: number
  readonly maxUs: number
}

/** What the load generator says about a run. */
export interface LoadResult {
  /** From the first request (connections are open by then) to the last answer. */
  readonly wallMs: number
  readonly jobs: number
  readonly requests: number
  readonly bodyBytesIn: number
  readonly bodyBytesOut: number
  readonly clientCpuMs: number
  readonly errorCount: number
  readonly errors: readonly string[]
  readonly statuses: Readonly<Record<string, number>>
  readonly latencies: Readonly<Record<string, Latency>>
}

/**
 * Compiles the load generator, unless the same sources were compiled before, and returns the path of the program. It is
 * kept in `~/.cache/berth-bench`, named after a hash of sources and flags. Throws when gcc is missing or fails.
 */
export async function compileLoader(): Promise<string> {
  const hash = createHash('sha256').update(CFLAGS.join(' '))
  for (const name of [...HEADERS, ...SOURCES]) hash.update(await readFile(sourcePath(name)))
  const folder = join(homedir(), '.cache', 'berth-bench')
  const program = join(folder, `load-${hash.digest('hex').slice(0, 16)}`)
  if (await exists(program)) return program
  await mkdir(folder, { recursive: true })
  const unfinished = `${program}.${process.pid}`
  const { code, stderr } = await runProgram('gcc', [
    ...CFLAGS,
    '-o',
    unfinished,
    ...SOURCES.map((name) => sourcePath(name)),
  ])
  if (code !== 0) throw new Error(`gcc could not compile bench/load:\n${stderr}`)
  await rename(unfinished, program)
  return program
}

/**
 * Runs a plan against `127.0.0.1:port`; `planPath` is where the plan's text is put. Throws when any answer was not what
 * the plan expects, with the first errors and the counts of statuses.
 */
export async function runLoad(
  program: string,
  planPath: string,
  plan: Plan,
  port: number,
): Promise<LoadResult> {
  await writeFile(planPath, formatPlan(plan, port))
  const { code, stdout, stderr } = await runProgram(program, [planPath])
  if (code !== 0) throw new Error(`the load generator failed: ${stderr}`)
  const result = JSON.parse(stdout) as LoadResult
  if (result.errorCount > 0) {
    const shown = result.errors.map((text) => `  ${text}`).join('\n')
    throw new Error(
      `${result.errorCount} wrong answers; statuses ${JSON.stringify(result.statuses)}; the first:\n${shown}`,
    )
  }
  if (plan.durationMs === undefined && result.jobs !== plan.jobs.length * (plan.passes ?? 1)) {
    throw new Error(`only ${result.jobs} of ${plan.jobs.length} jobs were done`)
  }
  return result
}

function sourcePath(name: string): string {
  return join(import.meta.dirname, name)
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

function runProgram(
  file: string,
  argv: readonly string[],
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, argv, { stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.on('error', (cause) => reject(new Error(`${file} cannot be started (${cause.message})`, { cause })))
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}
