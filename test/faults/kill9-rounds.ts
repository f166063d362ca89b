import assert from 'node:assert/strict'
import { type Berth, startBerth } from '../support/berth.ts'
import type { Stack } from '../support/suite-files.ts'
import { createClient } from './client.ts'
import { makeBlob } from './content.ts'
import { createRandom, type Random } from './random.ts'
import { RepositoryModel } from './repository-model.ts'
import { SharedTags } from './shared-tags.ts'
import { checkRepository, checkSharedTags, checkUploads, checkWithFsck } from './verify.ts'
import { type Periods, work, type World, type Writer } from './writer.ts'

export type CampaignOptions = {
  seed: number
  rounds: number
  stack: Stack
  /** `berth fsck` after each so many rounds, and after the last. */
  roundsPerFsck: number
  report: (line: string) => void
}

export type CampaignResult = { rounds: number; acknowledged: number; slowestStartMs: number }

const writerCount = 4
/** After so many rounds the writers begin new repositories and delete the old ones: what is checked stays bounded. */
const roundsPerRepositories = 4
const readyLimitMs = 10_000
/** A round in which nothing goes on any more is ended after this. */
const roundLimitMs = 60_000

/** How long things are kept: short ones make garbage collection work, long ones let it take nothing. */
const periods: readonly Periods[] = [
  { leaseMs: 1_000, trashMs: 1_000 },
  { leaseMs: 1_000, trashMs: 3_600_000 },
  { leaseMs: 3_600_000, trashMs: 1_000 },
  { leaseMs: 2_000, trashMs: 0 },
]

/**
 * Rounds of work, kill -9, restart and a look at everything. Throws at the first thing that is not as it was
 * acknowledged; the message names seed and round.
 */
export async function runKill9Campaign(options: CampaignOptions): Promise<CampaignResult> {
  const random = createRandom(options.seed)
  const env = environmentOf(periods[0] as Periods)
  await using berth = await startBerth({ stack: options.stack, env })
  const { project, client } = await prepare(berth)
  const world: World = {
    client,
    berth,
    namespace: project.namespace,
    projectId: project.id,
    periods: periods[0] as Periods,
    shared: new SharedTags('shared-0'),
    commonBlobs: [40, 900, 16_384, 16_385, 70_000].map((size) => makeBlob(`common/${size}`, size)),
    onAcknowledged: () => {},
  }
  const writers = Array.from({ length: writerCount }, (_, index) => newWriter(index, random))
  const result = { rounds: 0, acknowledged: 0, slowestStartMs: 0 }
  for (let round = 1; round <= options.rounds; round += 1) {
    try {
      await runRound(berth, world, writers, { round, random, options, result })
    } catch (cause) {
      const where = `seed ${options.seed}, round ${round} on ${options.stack}`
      const log = berth.log().split('\n').slice(-30).join('\n')
      throw new Error(`${where}: ${(cause as Error).message}\n--- berth ---\n${log}`, { cause })
    }
    result.rounds = round
  }
  return result
}

async function runRound(
  berth: Berth,
  world: World,
  writers: readonly Writer[],
  context: { round: number; random: Random; options: CampaignOptions; result: CampaignResult },
): Promise<void> {
  const { round, random, options, result } = context
  if (round % roundsPerRepositories === 0) await beginNewRepositories(berth, world, writers, round)
  const acknowledged = await workUntilKilled(berth, world, writers, random)
  result.acknowledged += acknowledged
  const next = random.pick(periods)
  const startedAt = performance.now()
  await berth.restart(environmentOf(next))
  const startMs = performance.now() - startedAt
  result.slowestStartMs = Math.max(result.slowestStartMs, startMs)
  assert.ok(startMs <= readyLimitMs, `ready only after ${startMs.toFixed(0)} ms`)
  world.periods = next
  for (const writer of writers) {
    await checkRepository(world, writer.main)
    await checkRepository(world, writer.side)
    await checkUploads(world, writer)
  }
  await checkSharedTags(world, world.shared)
  if (round % options.roundsPerFsck === 0 || round === options.rounds) await checkWithFsck(berth)
  options.report(`round ${round}: ${acknowledged} acknowledged, ready after ${startMs.toFixed(0)} ms`)
}

/** Lets the writers work, and kills the server a moment after a chosen acknowledgement. */
async function workUntilKilled(
  berth: Berth,
  world: World,
  writers: readonly Writer[],
  random: Random,
): Promise<number> {
  const killAfter = random.integer(1, 120)
  const delayMs = random.integer(0, 40)
  let acknowledged = 0
  let isOver = false
  const moment = Promise.withResolvers<void>()
  world.onAcknowledged = () => {
    acknowledged += 1
    if (acknowledged === killAfter) setTimeout(moment.resolve, delayMs)
  }
  const limit = setTimeout(moment.resolve, roundLimitMs)
  const working = Promise.all(writers.map((writer) => work(world, writer, () => isOver)))
  // A writer that finds something wrong ends the round.
  await Promise.race([moment.promise, working])
  clearTimeout(limit)
  isOver = true
  await berth.kill9()
  await working
  return acknowledged
}

async function beginNewRepositories(
  berth: Berth,
  world: World,
  writers: readonly Writer[],
  round: number,
): Promise<void> {
  const old = [world.shared, ...writers.flatMap(({ main, side }) => [main, side])]
  for (const { path } of old) {
    const { status } = await berth.api('DELETE', `/projects/${world.projectId}/repositories/${path}`)
    assert.ok(status === 200 || status === 404, `delete of the repository ${path}: ${status}`)
  }
  world.shared = new SharedTags(`shared-${round}`)
  for (const writer of writers) {
    writer.main = new RepositoryModel(`${writer.id}-main-${round}`)
    writer.side = new RepositoryModel(`${writer.id}-side-${round}`)
  }
}

function newWriter(index: number, random: Random): Writer {
  const id = `writer-${index}`
  return {
    id,
    random: createRandom(random.integer(0, 2 ** 31)),
    main: new RepositoryModel(`${id}-main-0`),
    side: new RepositoryModel(`${id}-side-0`),
    uploads: [],
    counter: 0,
  }
}

async function prepare(berth: Berth) {
  const project = await berth.createProject('acme')
  const key = await berth.createKey(project.id, { actions: ['pull', 'push', 'delete'] })
  return { project, client: createClient(berth.registryUrl, key.authorization) }
}

function environmentOf({ leaseMs, trashMs }: Periods): Record<string, string> {
  return {
    BERTH_BLOB_LEASE: `${leaseMs}ms`,
    BERTH_TRASH_PERIOD: `${trashMs}ms`,
    BERTH_GC_INTERVAL: '1s',
    BERTH_GC_MAX_SHARE: '100',
    BERTH_DISK_RESERVE: '0',
    BERTH_LOG_LEVEL: 'info',
  }
}
