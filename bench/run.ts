import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Case, Size, Stage } from './case.ts'
import { Content, type Pattern } from './content.ts'
import type { Sample } from './sample.ts'
import { startServer, type Server, type ServerAdapter, type ServerId } from './servers/server.ts'
import { openSession } from './session.ts'

/** A sample with where it comes from. */
export interface Recorded {
  readonly caseId: string
  readonly server: ServerId
  readonly round: number
  readonly sample: Sample
}

/** What a run needs: a folder to work in, the compiled load generator, a way to start each server. */
export interface Bench {
  readonly folder: string
  readonly loader: string
  readonly pattern: Pattern
  readonly adapters: ReadonlyMap<ServerId, ServerAdapter>
  readonly size: Size
  readonly say: (text: string) => void
}

interface Entrant {
  readonly id: ServerId
  readonly server: Server
  readonly folder: string
  readonly stages: readonly Stage[]
}

/**
 * Runs one case: all of its servers run side by side, and in each round one after the other is measured, a different
 * one first each time. Samples are added to `records` as they come, so that those before a failure are kept. Stops the
 * servers and removes their data at the end, also when a measurement throws.
 */
export async function runCase(bench: Bench, which: Case, records: Recorded[]): Promise<void> {
  const { rounds } = bench.size
  if (which.freshServers) {
    for (let round = 0; round < rounds; round++) {
      await withEntrants(bench, which, round, (entrants) =>
        runStages(bench, which, entrants, [round], records),
      )
    }
  } else {
    const all = Array.from({ length: rounds }, (_, round) => round)
    await withEntrants(bench, which, 0, (entrants) => runStages(bench, which, entrants, all, records))
  }
}

async function runStages(
  bench: Bench,
  which: Case,
  entrants: readonly Entrant[],
  rounds: readonly number[],
  records: Recorded[],
): Promise<void> {
  const stageCount = entrants[0]?.stages.length ?? 0
  for (let stage = 0; stage < stageCount; stage++) {
    for (const round of rounds) {
      for (const entrant of rotate(entrants, round)) {
        const samples = (await entrant.stages[stage]?.(round)) ?? []
        for (const sample of samples) {
          records.push({ caseId: which.id, server: entrant.id, round, sample })
          bench.say(`  round ${round + 1}  ${entrant.id.padEnd(18)} ${describe(sample)}`)
        }
      }
    }
  }
}

async function withEntrants(
  bench: Bench,
  which: Case,
  seed: number,
  use: (entrants: readonly Entrant[]) => Promise<void>,
): Promise<void> {
  const entrants: Entrant[] = []
  try {
    for (const id of which.servers) entrants.push(await enter(bench, which, id, seed))
    await use(entrants)
  } finally {
    for (const { server, folder } of entrants) {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    }
  }
}

/** Starts a server and opens the case on it. Each server gets content of the same seed, and so the same bytes. */
async function enter(bench: Bench, which: Case, id: ServerId, seed: number): Promise<Entrant> {
  const adapter = bench.adapters.get(id)
  if (adapter === undefined) throw new Error(`no adapter for ${id}`)
  const folder = await mkdtemp(join(bench.folder, `${id}-`))
  const server = await startServer(adapter, join(folder, 'server'))
  try {
    const session = openSession(server, bench.loader, join(folder, 'plan'))
    const stages = await which.open(session, new Content(bench.pattern, folder, seed), bench.size)
    return { id, server, folder, stages }
  } catch (cause) {
    await server.stop()
    throw cause
  }
}

function rotate<T>(items: readonly T[], by: number): T[] {
  const at = items.length === 0 ? 0 : by % items.length
  return [...items.slice(at), ...items.slice(0, at)]
}

function describe(sample: Sample): string {
  if (sample.kind === 'value') return `${sample.row}: ${sample.value.toFixed(0)} ${sample.unit}`
  const rate = sample.work / (sample.wallMs / 1000)
  return `${sample.row}: ${rate.toPrecision(3)} ${sample.unit}/s, ${(sample.cpuMs / 1000).toFixed(2)} CPU-s, client ${(sample.clientCpuMs / 1000).toFixed(2)} CPU-s`
}
