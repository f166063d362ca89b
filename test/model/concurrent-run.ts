import assert from 'node:assert/strict'
import { sql } from 'kysely'
import { createRandom, type Random } from '../faults/random.ts'
import { readClosure, Refused, STEPS } from './concurrent-steps.ts'
import {
  ask,
  type Client,
  type ConcurrentWorld,
  contentOf,
  note,
  openClient,
  openConcurrentWorld,
  ownBlob,
  pause,
  REPOSITORIES,
  TAGS,
} from './concurrent-world.ts'
import type { RunOptions } from './sequential-run.ts'
import { type ModelServer, openModelServer } from './server.ts'
import { explainTag } from './tag-order.ts'
import { outcomeOf } from './world.ts'

const CLIENTS_MAX = 3
const STEPS_PER_CLIENT = 10
const OPERATOR_STEPS = 8
const HOUR_MS = 3_600_000
/** Longer than every lease and every time in the trash together. */
const LONG_MS = 40 * 24 * HOUR_MS

/**
 * Clients that push, move, delete and read at the same time, while garbage collection runs, keys are revoked and the
 * clock moves. The seed of a run chooses what each does and when it lets others go first; the order of answers still
 * depends on the machine. Throws the first thing that no order of the requests explains.
 */
export async function runConcurrent(options: RunOptions): Promise<{ runs: number; commands: number }> {
  const { stack, report } = options
  const deadline = performance.now() + options.budgetMs
  await using server = await openModelServer(stack)
  const total = { runs: 0, commands: 0 }
  for (let run = 0; run < options.runs && performance.now() < deadline; run += 1) {
    const seed = (options.seed + run) % 2 ** 31
    try {
      total.commands += await runOnce(server, seed)
    } catch (cause) {
      throw new Error(`seed ${seed} on ${stack}: ${(cause as Error).message}\n${server.log()}`, { cause })
    }
    total.runs += 1
  }
  report(`seeds from ${options.seed}: ${total.runs} runs, ${total.commands} requests on ${stack}`)
  return total
}

async function runOnce(server: ModelServer, seed: number): Promise<number> {
  const random = createRandom(seed)
  const world = await openConcurrentWorld(server)
  const count = random.integer(2, CLIENTS_MAX)
  const clients: Client[] = []
  for (let index = 0; index < count; index += 1) clients.push(await openClient(world, split(random)))
  const victim = await openClient(world, split(random))
  // The operator is one actor in the histories, so what it does is one thing after the other.
  const done = await Promise.allSettled([
    ...clients.map((client) => work(world, client, STEPS_PER_CLIENT)),
    workUntilRefused(world, victim),
    operate(world, victim, split(random)),
  ])
  for (const outcome of done) if (outcome.status === 'rejected') throw outcome.reason
  const observer = clients[0] as Client
  await checkAll(world, observer)
  // First manifests and members go, then the blobs that nothing holds any more.
  for (const _cycle of ['trashed', 'purged']) {
    server.advance(LONG_MS)
    await server.collect()
  }
  await checkAll(world, observer)
  await checkNoGarbage(world)
  await server.console.call('projects.delete', {
    params: { project: world.projectId },
    query: { confirm: world.namespace },
  })
  await server.collect()
  // Each request is two moments.
  return Math.floor(world.tick() / 2)
}

function split(random: Random): Random {
  return createRandom(random.integer(0, 2 ** 31 - 1))
}

async function work(world: ConcurrentWorld, client: Client, steps: number): Promise<void> {
  for (let step = 0; step < steps; step += 1) await client.random.pick(STEPS)(world, client)
}

async function workUntilRefused(world: ConcurrentWorld, client: Client): Promise<void> {
  try {
    await work(world, client, 3 * STEPS_PER_CLIENT)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
  }
}

/** Garbage collection, the clock, undelete, and once the revocation of the victim's key. */
async function operate(world: ConcurrentWorld, victim: Client, random: Random): Promise<void> {
  const revokesAt = random.integer(2, OPERATOR_STEPS - 1)
  for (let step = 0; step < OPERATOR_STEPS; step += 1) {
    await pause(random)
    if (step === revokesAt) await revokeVictim(world, victim)
    else if (random.chance(0.25)) await undeleteTag(world, random)
    else {
      // A lease ends now and then; a session lives as long as its client's next request.
      if (random.chance(0.3)) world.server.advance(random.pick([HOUR_MS, 5 * HOUR_MS]))
      await world.server.collect()
    }
  }
}

/** Invariant 5: after the call nothing is accepted, and nothing that had begun before is committed. */
async function revokeVictim(world: ConcurrentWorld, victim: Client): Promise<void> {
  const { server, projectId } = world
  const begun = Promise.withResolvers<void>()
  const rest = Promise.withResolvers<void>()
  const blob = ownBlob(world, victim)
  const slow = ask(world, victim, 'POST', `${REPOSITORIES[0]}/blobs/uploads/?digest=${blob.digest}`, {
    body: contentOf(blob),
    midway: () => {
      begun.resolve()
      return rest.promise
    },
  })
  await Promise.race([begun.promise, slow])
  await server.console.call('apiKeys.revoke', { params: { project: projectId, key: victim.id } })
  const before = await countChanges(world, victim.id)
  rest.resolve()
  assert.equal((await slow).answer.status, 401, 'a push whose key was revoked while its bytes came')
  for (const repository of REPOSITORIES) {
    const { answer } = await ask(world, victim, 'GET', `${repository}/tags/list`)
    assert.equal(answer.status, 401, 'a request with a revoked key')
  }
  await server.collect()
  assert.equal(await countChanges(world, victim.id), before, 'changes of a key after its revocation')
}

async function countChanges({ server }: ConcurrentWorld, actor: string): Promise<number> {
  const { rows } = await sql<{ changes: number }>`
    select count(*) as changes from audit_event where actor = ${actor} and action <> 'access.deny'`.execute(
    server.db.reader,
  )
  return Number(rows[0]?.changes)
}

async function undeleteTag(world: ConcurrentWorld, random: Random): Promise<void> {
  const place = { repository: random.pick(REPOSITORIES), tag: random.pick(TAGS) }
  const { repository, tag } = place
  const invokedAt = world.tick()
  let digest: string | null = null
  const call = world.server.console.call('tags.undelete', {
    params: { project: world.projectId, repository, tag },
    body: {},
  })
  const { status } = await outcomeOf(
    call.then((restored) => {
      digest = restored.digest
    }),
  )
  assert.ok([200, 404, 409].includes(status), `undelete of a tag: ${status}`)
  const span = { invokedAt, answeredAt: world.tick() }
  if (digest !== null) note(world, 'operator', place, span, { kind: 'set', digest })
}

/** With nobody else at work: each tag's closure, each tag's history, and the use. */
async function checkAll(world: ConcurrentWorld, observer: Client): Promise<void> {
  for (const repository of REPOSITORIES) {
    for (const tag of TAGS) {
      await readClosure(world, observer, { repository, tag })
      await checkHistory(world, repository, tag)
    }
  }
  const { rows } = await sql<{ counted: number | null; recounted: number }>`
    select
      (select used_bytes from project_usage where project_id = ${world.projectId}) as counted,
      (select coalesce(sum(size_bytes), 0) from blob where project_id = ${world.projectId} and state = 'live'
        and id not in (select blob_id from idle_blob))
      + (select coalesce(sum(manifest.size_bytes), 0) from manifest
        join repository on repository.id = manifest.repository_id
        where repository.project_id = ${world.projectId} and manifest.deleted_at is null) as recounted
  `.execute(world.server.db.reader)
  assert.equal(
    Number(rows[0]?.counted ?? 0),
    Number(rows[0]?.recounted),
    'the use that is counted, and a recount',
  )
}

async function checkHistory(world: ConcurrentWorld, repository: string, tag: string): Promise<void> {
  const operations = world.operations.get(`${repository}:${tag}`) ?? []
  const changes = operations.filter(({ effect }) => effect.kind === 'set')
  if (changes.length === 0) return
  const { items } = await world.server.console.call('tags.history', {
    params: { project: world.projectId, repository, tag },
    query: { limit: 500 },
  })
  const history = items.toReversed()
  const versions = history.map(({ version }) => version)
  assert.deepEqual(
    versions,
    history.map((_, index) => index + 1),
    `versions of ${repository}:${tag}`,
  )
  const actors = history.map(({ digest, actor }) => ({ digest, actor }))
  assert.equal(explainTag(actors, operations), null, `${repository}:${tag}`)
}

/** When every lease and every time in the trash is over, nothing is left that no manifest refers to. */
async function checkNoGarbage({ server, projectId }: ConcurrentWorld): Promise<void> {
  const { rows } = await sql<{ blobs: number; members: number; manifests: number }>`
    select
      (select count(*) from blob where project_id = ${projectId} and (state <> 'live' or not exists (
        select 1 from repository_blob where repository_blob.blob_id = blob.id))) as blobs,
      (select count(*) from repository_blob member join repository on repository.id = member.repository_id
        where repository.project_id = ${projectId} and not exists (
          select 1 from manifest_reference edge where edge.repository_id = member.repository_id
          and edge.target_digest = member.digest)) as members,
      (select count(*) from manifest join repository on repository.id = manifest.repository_id
        where repository.project_id = ${projectId} and manifest.deleted_at is not null) as manifests
  `.execute(server.db.reader)
  const [left] = rows
  const counts = [left?.blobs, left?.members, left?.manifests].map(Number)
  assert.deepEqual(counts, [0, 0, 0], 'blobs and members that nothing holds, and manifests in the trash')
}
