import { flushCompileCache } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type App, startApp } from './app.ts'
import { type Config, ConfigError, loadConfig } from './config/config.ts'
import { DataDirError } from './config/data-dir.ts'
import type { FirstProject } from './control/installation/first-project.ts'
import type { ControlRuntime } from './control/runtime.ts'
import { ListenError } from './http/listener.ts'
import { describeFirstStart, describeStart } from './start-message.ts'
import { createLogger, type Logger } from './telemetry/log.ts'
import { RootKeyError } from './vault/root-key.ts'
import { readVersion } from './version.ts'

/** Where `serve` reads and writes, so that a test can run it without a process of its own. */
export interface ServeStreams {
  readonly stdout: NodeJS.WritableStream & { isTTY?: boolean }
  readonly stderr: NodeJS.WritableStream & { isTTY?: boolean }
}

/**
 * `berth serve`: starts, says how to go on, and runs until SIGTERM or SIGINT. Answers the exit code. A mistake of the
 * operator is one clear message without a stack trace.
 */
export async function serve(env: NodeJS.ProcessEnv, streams: ServeStreams): Promise<number> {
  const stopped = Promise.withResolvers<NodeJS.Signals>()
  const onSignal = (signal: NodeJS.Signals) => stopped.resolve(signal)
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  let config: Config
  let app: App
  let log: Logger
  try {
    config = loadConfig(env, process.cwd())
    log = createLogger({
      level: config.logLevel,
      terminal: streams.stderr.isTTY === true,
      output: streams.stderr,
    })
    app = await startApp({
      config,
      log,
      version: readVersion(),
      onStep: (step) => log.debug({ step }, 'starting'),
    })
  } catch (error) {
    streams.stderr.write(`${explainStartError(error)}\n`)
    return 1
  }
  await announce(app, config, streams.stdout)
  // Kept now, not at the exit: a process that is killed leaves its compiled code to the next one, too.
  flushCompileCache()
  releaseStartMemory()
  const signal = await stopped.promise
  process.once('SIGINT', () => process.exit(130))
  log.info({ signal, drainMs: config.drainMs }, 'stopping: running transfers may finish')
  await app.stop()
  log.info('stopped')
  return 0
}

async function announce(app: App, config: Config, stdout: NodeJS.WritableStream): Promise<void> {
  const first = app.installation.firstStart
  if (first !== null && app.control !== null) {
    // Who configures the operator token deploys by a plan, and wants neither a demo project nor a key in a log.
    const project = first.operatorToken === null ? null : await makeFirstProject(app.control)
    stdout.write(describeFirstStart(config, first, project))
  } else {
    stdout.write(describeStart(config))
  }
}

/** Loaded when it is needed: only the very first start makes a project by itself. */
async function makeFirstProject(control: ControlRuntime): Promise<FirstProject> {
  const { prepareFirstProject } = await import('./control/installation/first-project.ts')
  return prepareFirstProject(control)
}

/** When the first requests of whoever waited for the start are over. */
const RELEASE_AFTER_MS = 2_000

/** Gives back what only the start needed (parsed sources, schemas in the making): about a fifth of the idle memory. */
function releaseStartMemory(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  setFlagsFromString('--no-expose-gc')
  setTimeout(collect, RELEASE_AFTER_MS).unref()
}

/** Errors whose message is written for the operator. */
const EXPECTED = [ConfigError, DataDirError, ListenError, RootKeyError]
const EXPECTED_NAMES = new Set([
  'DatabaseUnavailableError',
  'DatabaseTooNewError',
  'UnsuitableServerError',
  'BlobStoreError',
])

function explainStartError(error: unknown): string {
  if (!(error instanceof Error)) return `Berth could not start: ${String(error)}`
  if (EXPECTED.some((type) => error instanceof type)) return error.message
  if (EXPECTED_NAMES.has(error.name)) {
    const cause = error.cause instanceof Error ? ` (${error.cause.message})` : ''
    return `Berth could not start: ${error.message}${cause}.`
  }
  return `Berth could not start because of an error that it did not expect:\n${error.stack ?? error.message}`
}
