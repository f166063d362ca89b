import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, open, readFile } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'

export type ServerId = 'berth' | 'registry' | 'registry-htpasswd'

/** Access to one repository in the form of the token specification: `repository:<name>:<actions>`. */
export type Scope = `repository:${string}:${string}`

/** Gives the value of the Authorization header for these scopes, or null when the server asks for none. */
export type Authorize = (scopes: readonly Scope[]) => Promise<string | null>

/** Where a server keeps its data and listens. */
export interface Site {
  readonly folder: string
  readonly port: number
  /** A second port, for servers that have a console. */
  readonly consolePort: number
}

/** How one registry is started and signed in to. Everything else is the same for all of them. */
export interface ServerAdapter {
  readonly id: ServerId
  /** What to do when its program is not there. */
  readonly whenMissing: string
  /** False when `tags/list?n=` is ignored and every page is the whole list. */
  readonly pagesTags: boolean
  /** Writes the configuration that the server needs before its first start. */
  configure(site: Site): Promise<void>
  /** Program, arguments and whole environment; called for each start. */
  command(site: Site): { file: string; argv: readonly string[]; env: Record<string, string> }
  /** Makes what the benchmark needs in a running server: a project named `bench` and a credential for it. */
  signIn(site: Site): Promise<Authorize>
}

/** A server that is running. */
export interface Server {
  readonly adapter: ServerAdapter
  readonly site: Site
  readonly host: string
  readonly authorize: Authorize
  pid(): number
  /** Spawn to the first answer of `/v2/`, of the last start. */
  startMs(): number
  /** Stops the server and starts it again on the same data. */
  restart(): Promise<void>
  /** SIGTERM, and SIGKILL when that does not end it in {@link STOP_LIMIT_MS}. */
  stop(): Promise<void>
}

const START_LIMIT_MS = 30_000
/** Longer than the time that Berth gives running transfers to end. */
const STOP_LIMIT_MS = 40_000
const START_POLL_MS = 2

const running = new Set<ChildProcess>()

/** Kills every server at once, for when the benchmark itself is told to end. */
export function killServers(): void {
  for (const child of running) child.kill('SIGKILL')
}

/** Starts a server on an empty folder and signs in. Throws, with the end of its log, when it does not come up. */
export async function startServer(adapter: ServerAdapter, folder: string): Promise<Server> {
  await mkdir(folder, { recursive: true })
  const [port, consolePort] = await freePorts()
  const site: Site = { folder, port, consolePort }
  await adapter.configure(site)
  let { child, startMs } = await launch(adapter, site)
  const authorize = await adapter.signIn(site).catch(async (cause: unknown) => {
    await end(child)
    throw cause
  })
  return {
    adapter,
    site,
    host: `localhost:${port}`,
    authorize,
    pid: () => child.pid ?? 0,
    startMs: () => startMs,
    stop: () => end(child),
    async restart() {
      await end(child)
      ;({ child, startMs } = await launch(adapter, site))
    },
  }
}

async function launch(adapter: ServerAdapter, site: Site): Promise<{ child: ChildProcess; startMs: number }> {
  const { file, argv, env } = adapter.command(site)
  const logPath = join(site.folder, 'server.log')
  const log = await open(logPath, 'a')
  const begin = performance.now()
  const child = spawn(file, argv, { env, stdio: ['ignore', log.fd, log.fd] })
  const failures: string[] = []
  child.once('error', (error) => failures.push(error.message))
  running.add(child)
  child.once('exit', () => running.delete(child))
  await log.close()
  while (!(await answers(site.port))) {
    const waitedMs = performance.now() - begin
    if (
      failures.length > 0 ||
      child.exitCode !== null ||
      child.signalCode !== null ||
      waitedMs > START_LIMIT_MS
    ) {
      running.delete(child)
      child.kill('SIGKILL')
      const text = await readFile(logPath, 'utf8')
      const why =
        failures.length === 0
          ? `Its log ends:\n${text.slice(-2000)}`
          : `${failures.join()}; ${adapter.whenMissing}`
      throw new Error(`${adapter.id} did not start. ${why}`)
    }
    await new Promise((resolve) => setTimeout(resolve, START_POLL_MS))
  }
  return { child, startMs: performance.now() - begin }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const killer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS)
  await ended
  clearTimeout(killer)
}

/** True when `GET /v2/` is answered 200 or 401. A bare socket: the poll must cost next to nothing beside the start. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket: Socket = connect(port, '127.0.0.1')
    socket.setTimeout(5000, () => socket.destroy())
    socket.on('connect', () => socket.write(`GET /v2/ HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`))
    socket.on('data', (bytes) => {
      resolve(/^HTTP\/1\.1 (200|401) /.test(bytes.toString('latin1')))
      socket.destroy()
    })
    socket.on('error', () => resolve(false))
    socket.on('close', () => resolve(false))
  })
}

async function freePorts(): Promise<[number, number]> {
  const listeners = await Promise.all([listen(), listen()])
  const ports = listeners.map((listener) => {
    const address = listener.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  })
  await Promise.all(listeners.map((listener) => new Promise((resolve) => listener.close(resolve))))
  return [ports[0] ?? 0, ports[1] ?? 0]
}

function listen(): Promise<ReturnType<typeof createServer>> {
  return new Promise((resolve, reject) => {
    const listener = createServer()
    listener.once('error', reject)
    listener.listen(0, '127.0.0.1', () => resolve(listener))
  })
}
