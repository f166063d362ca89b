import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { allCases } from './cases/all.ts'
import { Pattern } from './content.ts'
import { compileLoader } from './load/loader.ts'
import { type Options, readOptions, USAGE } from './options.ts'
import { formatReport, type Row, summarize } from './report.ts'
import { type Recorded, runCase } from './run.ts'
import { berth } from './servers/berth.ts'
import { dockerRegistry } from './servers/docker-registry.ts'
import { killServers, type ServerAdapter, type ServerId } from './servers/server.ts'

interface Outcome {
  readonly rows: readonly Row[]
  readonly records: readonly Recorded[]
  /** Cases that could not be measured, and why. */
  readonly failures: readonly string[]
}

process.exitCode = await main()

async function main(): Promise<number> {
  const options = readOptions()
  if (typeof options === 'string') {
    process.stderr.write(`${options}\n\n${USAGE}`)
    return 2
  }
  const folder = await mkdtemp(join(options.folder, 'berth-bench-'))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      killServers()
      void rm(folder, { recursive: true, force: true }).finally(() => process.exit(130))
    })
  }
  const loadBefore = loadavg()
  let outcome: Outcome
  try {
    outcome = await runCases(options, folder)
  } finally {
    // None is left unless something unforeseen was thrown, and then it would keep this process alive.
    killServers()
    await rm(folder, { recursive: true, force: true })
  }
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    kernel: (await readFile('/proc/version', 'utf8')).split(' ').slice(0, 3).join(' '),
    node: process.version,
    loadAverage: { before: loadBefore, after: loadavg() },
  }
  const text = [
    `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, load average ${loadBefore[0]?.toFixed(1)} before the run`,
    `Rounds: ${options.size.rounds}. Medians, (range) over the rounds. x is Berth / docker-registry.`,
    ...(options.size.quick ? ['A quick run: the figures mean nothing.'] : []),
    '',
    formatReport(outcome.rows),
    ...outcome.failures.map((failure) => `\nFAILED ${failure}`),
    '',
  ].join('\n')
  if (options.json !== null) {
    const json = `${JSON.stringify({ machine, size: options.size, ...outcome }, null, 2)}\n`
    if (options.json === '-') process.stdout.write(json)
    else await writeFile(options.json, json)
  }
  if (options.json === '-') process.stderr.write(text)
  else process.stdout.write(text)
  return outcome.failures.length > 0 ? 1 : 0
}

/** Runs the chosen cases. One that fails is noted, with what it measured before, and the others go on. */
async function runCases(options: Options, folder: string): Promise<Outcome> {
  const say = (text: string): void => void process.stderr.write(`${text}\n`)
  if (options.profileFolder !== null) await mkdir(options.profileFolder, { recursive: true })
  const adapters: ServerAdapter[] = [
    berth({ profileFolder: options.profileFolder }),
    dockerRegistry({ htpasswd: false }),
    dockerRegistry({ htpasswd: true }),
  ]
  const bench = {
    folder,
    loader: await compileLoader(),
    pattern: new Pattern(folder),
    adapters: new Map<ServerId, ServerAdapter>(adapters.map((adapter) => [adapter.id, adapter])),
    size: options.size,
    say,
  }
  const rows: Row[] = []
  const records: Recorded[] = []
  const failures: string[] = []
  for (const which of allCases) {
    if (options.only !== null && !options.only.includes(which.id)) continue
    say(`${which.id}: ${which.title}`)
    const recorded: Recorded[] = []
    try {
      await runCase(bench, which, recorded)
    } catch (cause) {
      const failure = `${which.id}: ${cause instanceof Error ? cause.message : String(cause)}`
      failures.push(failure)
      say(`  FAILED ${failure}`)
    }
    records.push(...recorded)
    rows.push(...summarize(which, recorded))
  }
  return { rows, records, failures }
}
