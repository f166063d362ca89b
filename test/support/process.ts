/**
 * Child processes for tests: every one gets its own process group, its output is kept, and none outlives
 * the test process, however that ends (normal exit, failure, SIGINT, SIGTERM, or SIGKILL on Linux).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const outputLimitBytes = 4 * 1024 * 1024
const tailLines = 40
const pollIntervalMs = 25
const defaultReadyTimeoutMs = 60_000
const defaultCommandTimeoutMs = 300_000
const defaultStopTimeoutMs = 15_000

export type SpawnOptions = {
  cwd?: string
  /** The whole environment of the child. Default: this process's own. */
  env?: Record<string, string | undefined>
  /** Run as another user (needs root). */
  uid?: number
  gid?: number
  /** What to call the process in messages. Default: the command's name. */
  name?: string
}

/** A server process under test: its output so far, how it ended, and the ways to end it. */
export type ServerProcess = {
  readonly name: string
  readonly pid: number
  /** Everything written to stdout and stderr, the oldest part dropped above 4 MiB. */
  output(): string
  /** The last lines of the output, for messages. */
  tail(lines?: number): string
  /** Resolves when the process has ended, with its exit code or the signal's name. */
  readonly exited: Promise<number | string>
  /** How the process ended, or null while it runs. */
  ended(): number | string | null
  /** Sends `signal` to the process, then SIGKILL to its whole group when it lasts longer than `timeoutMs`. */
  stop(signal?: NodeJS.Signals, timeoutMs?: number): Promise<number | string>
  /** Lets this process end while the server still runs (it is then ended too). For servers that tests share. */
  unref(): void
  /** SIGKILL to the whole process group. */
  kill9(): Promise<number | string>
}

export type CommandOptions = SpawnOptions & {
  stdin?: string | Uint8Array
  timeoutMs?: number
  /** Return the result of a command that fails instead of throwing. */
  allowFailure?: boolean
}

export type CommandResult = { code: number; stdout: string; stderr: string }

/** A command ended with another code than 0, or took too long. */
export class CommandError extends Error {
  readonly result: CommandResult
  constructor(line: string, result: CommandResult, why: string) {
    const tail = lastLines(`${result.stdout}\n${result.stderr}`, tailLines)
    super(`${line}: ${why}\n${tail}`)
    this.result = result
  }
}

const liveGroups = new Set<number>()
const cleanups = new Set<() => void>()
let hooksInstalled = false

/**
 * Registers a synchronous last resort for when the test process ends without having stopped its servers.
 * Returns a function that takes the registration back.
 */
export function onProcessEnd(cleanup: () => void): () => void {
  installHooks()
  cleanups.add(cleanup)
  return () => cleanups.delete(cleanup)
}

/**
 * Makes a folder under the system's temporary folder. It is removed by the returned `remove`, and at the
 * latest when the test process ends (unless BERTH_KEEP_TEMP is set).
 */
export function temporaryFolder(prefix: string): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `berth-${prefix}-`))
  const removeNow = (): void => {
    if (!process.env['BERTH_KEEP_TEMP']) rmSync(path, { recursive: true, force: true, maxRetries: 3 })
  }
  const forget = onProcessEnd(removeNow)
  return {
    path,
    remove() {
      forget()
      removeNow()
    },
  }
}

/** Starts a server in its own process group and keeps its output. Throws when the command cannot be started. */
export async function startProcess(
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<ServerProcess> {
  const name = options.name ?? (command.split('/').at(-1) as string)
  const child = spawnGroup(command, args, options)
  const log = captureTail(child)
  await started(child, name)
  const pid = child.pid as number
  let end: number | string | null = null
  const exited = new Promise<number | string>((resolve) => {
    // 'exit', not 'close': a grandchild that inherited the pipes must not keep a stopped server "running".
    child.once('exit', (code, signal) => {
      end = code ?? signal ?? 'unknown'
      liveGroups.delete(pid)
      resolve(end)
    })
  })
  const stop = async (signal: NodeJS.Signals = 'SIGTERM', timeoutMs = defaultStopTimeoutMs) => {
    if (end === null) child.kill(signal)
    const timer = setTimeout(() => killGroup(pid), timeoutMs)
    const result = await exited
    clearTimeout(timer)
    killGroup(pid)
    releasePipes(child)
    return result
  }
  return {
    name,
    pid,
    output: log,
    tail: (lines = tailLines) => lastLines(log(), lines),
    exited,
    ended: () => end,
    stop,
    unref: () => unrefChild(child),
    kill9: () => stop('SIGKILL', 0),
  }
}

/**
 * Runs a command to its end. Throws CommandError when it exits non-zero (unless `allowFailure`) or takes
 * longer than `timeoutMs` (5 minutes when not given).
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const timeoutMs = options.timeoutMs ?? defaultCommandTimeoutMs
  const child = spawnGroup(command, args, options)
  const stdout = collect(child.stdout)
  const stderr = collect(child.stderr)
  await started(child, command)
  child.stdin?.on('error', () => {}) // A command may end without reading its input; its exit code tells.
  child.stdin?.end(options.stdin)
  const pid = child.pid as number
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    killGroup(pid)
  }, timeoutMs)
  const code = await new Promise<number>((resolve) => {
    child.once('close', (exitCode) => resolve(exitCode ?? -1))
  })
  clearTimeout(timer)
  liveGroups.delete(pid)
  const result = { code, stdout: stdout(), stderr: stderr() }
  const line = [command, ...args].join(' ')
  if (timedOut) throw new CommandError(line, result, `took longer than ${timeoutMs} ms`)
  if (code !== 0 && !options.allowFailure) throw new CommandError(line, result, `exit code ${code}`)
  return result
}

/** A TCP port on 127.0.0.1 that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      if (address === null || typeof address === 'string') return reject(new Error('no port'))
      server.close(() => resolve(address.port))
    })
  })
}

/**
 * Polls `probe` until it answers true. Throws when the process ends first or after `timeoutMs`, with the
 * tail of the process's log. An error thrown by the probe counts as "not yet".
 */
export async function waitUntilReady(
  server: ServerProcess,
  probe: () => Promise<boolean>,
  timeoutMs: number = defaultReadyTimeoutMs,
): Promise<void> {
  try {
    await waitFor(`${server.name} to be ready`, probe, timeoutMs, () =>
      server.ended() === null ? null : `${server.name} ended (${server.ended()})`,
    )
  } catch (error) {
    await server.kill9()
    throw new Error(`${(error as Error).message}\n--- last lines of ${server.name} ---\n${server.tail()}`)
  }
}

/** Polls `probe` until it answers true; throws after `timeoutMs`, or as soon as `hopeless` gives a reason. */
export async function waitFor(
  what: string,
  probe: () => Promise<boolean>,
  timeoutMs: number = defaultReadyTimeoutMs,
  hopeless: () => string | null = () => null,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  let lastError: unknown = null
  for (;;) {
    const reason = hopeless()
    if (reason !== null) throw new Error(`waiting for ${what}: ${reason}`)
    try {
      if (await probe()) return
    } catch (error) {
      lastError = error
    }
    if (performance.now() > deadline) {
      const detail = lastError instanceof Error ? ` (last error: ${lastError.message})` : ''
      throw new Error(`waiting for ${what}: not within ${timeoutMs} ms${detail}`)
    }
    await new Promise((resolve) => setTimeout(resolve, pollIntervalMs))
  }
}

/** Whether something accepts TCP connections on a port of 127.0.0.1. */
export function portAnswers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function spawnGroup(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  installHooks()
  // On Linux the kernel ends the child when this process is killed outright. setpriv execs, so the pid stays.
  const guarded = existsSync('/usr/bin/setpriv')
  const file = guarded ? '/usr/bin/setpriv' : command
  const argv = guarded ? ['--pdeathsig', 'KILL', '--', command, ...args] : [...args]
  const child = spawn(file, argv, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
    env: options.env ?? process.env,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  if (child.pid !== undefined) liveGroups.add(child.pid)
  return child
}

function started(child: ChildProcess, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (cause) => reject(new Error(`${name} could not be started`, { cause })))
  })
}

function captureTail(child: ChildProcess): () => string {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  const keep = (chunk: Buffer): void => {
    chunks.push(chunk)
    sizeBytes += chunk.length
    while (sizeBytes > outputLimitBytes && chunks.length > 1) {
      sizeBytes -= (chunks.shift() as Buffer).length
    }
  }
  child.stdout?.on('data', keep)
  child.stderr?.on('data', keep)
  return () => Buffer.concat(chunks).toString('utf8')
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const chunks: Buffer[] = []
  stream?.on('data', (chunk: Buffer) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString('utf8')
}

function releasePipes(child: ChildProcess): void {
  child.stdin?.destroy()
  child.stdout?.destroy()
  child.stderr?.destroy()
}

function unrefChild(child: ChildProcess): void {
  child.unref()
  for (const pipe of [child.stdin, child.stdout, child.stderr]) {
    // The pipes of a child are sockets, though typed as plain streams.
    if (pipe !== null && 'unref' in pipe && typeof pipe.unref === 'function') pipe.unref()
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // The group is gone already, which is what was wanted.
  }
}

function lastLines(text: string, lines: number): string {
  return text.trimEnd().split('\n').slice(-lines).join('\n')
}

function installHooks(): void {
  if (hooksInstalled) return
  hooksInstalled = true
  process.once('exit', endEverything)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      endEverything()
      process.kill(process.pid, signal)
    })
  }
}

function endEverything(): void {
  for (const pid of liveGroups) killGroup(pid)
  liveGroups.clear()
  // The latest first: what is mounted inside a folder must be gone before the folder is removed.
  for (const cleanup of [...cleanups].reverse()) {
    try {
      cleanup()
    } catch (error) {
      console.error(`cleanup: ${(error as Error).message}`)
    }
  }
  cleanups.clear()
}
