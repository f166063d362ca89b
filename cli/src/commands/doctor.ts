import { CliError } from '../cli-error.ts'
import { type Define, leaf } from '../command.ts'
import { parseBytes } from '../format.ts'
import { type Io, print } from '../io.ts'
import { PASSWORD_VARIABLE } from '../password-input.ts'
import { readSecret } from '../secret-input.ts'
import type { GlobalOptions } from '../session.ts'
import { openProgress } from '../spinner.ts'

interface PushOptions extends GlobalOptions {
  readonly username: string
  readonly size: string
  readonly slow: string
}

interface Finding {
  readonly name: string
  readonly outcome: 'ok' | 'warning' | 'failed'
  readonly message: string
  readonly nextStep: string | null
}

const MARKS = { ok: 'ok     ', warning: 'warning', failed: 'FAILED ' } as const

/** `doctor` and `doctor push`. */
export const defineDoctor: Define = (parent, io) => {
  const doctor = parent
    .command('doctor')
    .description(
      'look at this installation: settings, disk, database, blob store, names, certificates, clocks',
    )
    .addHelpText('after', '\nRun it on the machine of the server, with its settings. It changes nothing.\n')
    .action(async (_options: unknown, command) => {
      await examine(io, command.optsWithGlobals() as GlobalOptions)
    })
  leaf(
    doctor,
    'push <repository>',
    'push to a registry as docker does, through whatever is in front of it, and take it back',
  )
    .option('--username <name>', 'user name', 'api')
    .option('--size <size>', 'size of the streamed chunk', '128MiB')
    .option('--slow <seconds>', 'how long the slow chunk takes; 0: leave it out', '75')
    .addHelpText('after', PUSH_HELP)
    .action(async (repository: string, _options: unknown, command) => {
      await examinePush(io, repository, command.optsWithGlobals() as PushOptions)
    })
}

const PUSH_HELP = `
The repository is written as for docker, with the host that clients use: registry.example/acme/doctor. Put http:// before
it when the registry speaks no TLS. The password is asked for, read from standard input, or BERTH_REGISTRY_PASSWORD:
  berth doctor push registry.example/acme/doctor < key-file
`

async function examine(io: Io, options: GlobalOptions): Promise<void> {
  const { examineInstallation } = await import('@berth/server/doctor/doctor')
  const say = sayer(io, options)
  const checks = await examineInstallation({ ...io.env }, say)
  finish(io, options, checks, 'Not everything works.')
}

async function examinePush(io: Io, reference: string, options: PushOptions): Promise<void> {
  const { origin, repository } = parseTarget(reference)
  const streamBytes = parseBytes(options.size)
  const seconds = Number(options.slow)
  if (streamBytes === null || streamBytes < 1)
    throw new CliError('usage', `"${options.size}" is no size.`, 'For example: --size 128MiB')
  if (!Number.isFinite(seconds) || seconds < 0)
    throw new CliError('usage', `"${options.slow}" is no number of seconds.`)
  const password =
    io.env[PASSWORD_VARIABLE] ?? (await readSecret(io, `Password of ${options.username} at ${origin}`))
  const { checkPush } = await import('../doctor/push-check.ts')
  const say = sayer(io, options)
  const progress = await openProgress({ io, options })
  const findings: Finding[] = []
  await checkPush({
    origin,
    repository,
    username: options.username,
    password,
    streamBytes,
    slowMs: seconds * 1000,
    onStep: ({ name, ok, message, nextStep }) => {
      const finding = { name, outcome: ok ? 'ok' : 'failed', message, nextStep } as const
      findings.push(finding)
      progress.clear()
      say(finding)
    },
    onSlowStep: (name) => progress.show(`Sending a ${name}`),
  })
  finish(io, options, findings, 'A push would fail.')
}

function parseTarget(reference: string): { origin: string; repository: string } {
  const match = /^(https?:\/\/)?([^/]+)\/([^/:@]+\/[^:@]+)$/.exec(reference)
  const [, scheme, host, repository] = match ?? []
  if (host === undefined || repository === undefined) {
    throw new CliError(
      'usage',
      `"${reference}" is no repository with its host.`,
      'For example: registry.example/acme/doctor',
    )
  }
  const isLocal = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(host)
  return { origin: `${scheme ?? (isLocal ? 'http://' : 'https://')}${host}`, repository }
}

/** Findings are written as they come; as JSON all at once in the end. */
function sayer(io: Io, options: GlobalOptions): (finding: Finding) => void {
  if (options.json === true) return () => {}
  return ({ name, outcome, message, nextStep }) => {
    print(io, `${MARKS[outcome]}  ${name}: ${message}`)
    if (nextStep !== null) print(io, `         ${nextStep}`)
  }
}

function finish(io: Io, options: GlobalOptions, findings: readonly Finding[], failure: string): void {
  if (options.json === true) print(io, JSON.stringify(findings, null, 2))
  if (findings.some(({ outcome }) => outcome === 'failed')) throw new CliError('failure', failure)
}
