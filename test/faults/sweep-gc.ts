import assert from 'node:assert/strict'
import type { Berth } from '../support/berth.ts'
import type { Client } from './client.ts'
import type { Fault } from './fault-injector.ts'
import { prepareSweep, type SweepResult, type SweepSubject } from './sweep.ts'
import { type Acknowledged, checkAcknowledged, pushOnce } from './sweep-push.ts'
import { checkWithFsck } from './verify.ts'

/** Environment in which an unreferenced blob goes as soon as a cycle is asked for, and no cycle comes by itself. */
export const gcSweepEnvironment = {
  BERTH_BLOB_LEASE: '0ms',
  BERTH_TRASH_PERIOD: '0ms',
  BERTH_GC_INTERVAL: '24h',
  BERTH_GC_MAX_SHARE: '100',
}

/** A cycle must work again within this time after the fault is over. */
const recoveryLimitMs = 20_000
const recoveryPauseMs = 200
const quiet = { before: () => {}, after: () => {} }

/**
 * Garbage collection with one fault each: what is referred to stays, the answer is a clean one, and after the fault
 * the same process removes all of the garbage. After some faults kill -9 and restart. In the end `fsck` without a
 * server, which then knows of every byte that nothing names.
 */
export async function sweepGc<Kind extends string>(
  subject: SweepSubject<Kind>,
  chooseFaults: (operations: number) => readonly Fault<Kind>[],
): Promise<SweepResult> {
  const { berth, injector, report } = subject
  const client = await prepareSweep(berth)
  const { acknowledged: kept, failed } = await pushOnce(client, 'acme/kept', 'kept', quiet)
  assert.equal(failed, null)
  await makeGarbage(client, 'measure')
  injector.arm(null)
  await collectUntilDone(berth)
  const { operations } = injector.disarm()
  const faults = chooseFaults(operations)
  report(`a cycle is ${operations} operations; ${faults.length} faults`)
  const result = { operations, faults: faults.length, hits: 0, refusals: 0 }
  for (const [index, fault] of faults.entries()) {
    try {
      const outcome = await collectWithFault(subject, client, fault, `garbage-${index}`)
      result.hits += outcome.wasHit ? 1 : 0
      result.refusals += outcome.wasRefused ? 1 : 0
      await checkAcknowledged(client, kept)
      if ((index + 1) % subject.faultsPerRestart !== 0) continue
      await berth.kill9()
      await berth.restart()
      await checkAcknowledged(client, kept)
    } catch (cause) {
      const { n, kind, persistent } = fault
      const what = `${kind} at operation ${n}${persistent ? ' and after' : ''} (${injector.describe()})`
      const log = berth.log().split('\n').slice(-15).join('\n')
      throw new Error(`${what}: ${(cause as Error).message}\n--- berth ---\n${log}`, { cause })
    }
  }
  await berth.stop()
  await checkWithFsck(berth)
  return result
}

async function collectWithFault<Kind extends string>(
  { berth, injector }: SweepSubject<Kind>,
  client: Client,
  fault: Fault<Kind>,
  seed: string,
): Promise<{ wasHit: boolean; wasRefused: boolean }> {
  const garbage = await makeGarbage(client, seed)
  injector.arm(fault)
  const { status, body } = await askToCollect(berth)
  const { spoiled } = injector.disarm()
  const isClean = status === 200 || (status >= 400 && status < 500) || status === 503
  assert.ok(isClean, `a cycle with a fault: ${status} ${JSON.stringify(body)}`)
  if (status !== 200) assert.ok(spoiled > 0, `a cycle failed without a fault: ${JSON.stringify(body)}`)
  await collectUntilDone(berth)
  for (const { digest } of garbage.blobs) {
    const answer = await client.read(`/v2/${garbage.repository}/blobs/${digest}`)
    assert.equal(answer.status, 404, `garbage is still there: ${digest}`)
  }
  return { wasHit: spoiled > 0, wasRefused: status !== 200 }
}

/** An image, pushed and deleted: a manifest, a blob in the database and one in the store. */
async function makeGarbage(client: Client, seed: string): Promise<Acknowledged> {
  const { acknowledged, failed } = await pushOnce(client, 'acme/garbage', seed, quiet)
  assert.equal(failed, null, 'a push without faults')
  const digest = acknowledged.manifest?.digest
  const answer = await client.send('DELETE', `/v2/acme/garbage/manifests/${digest}`)
  assert.equal(answer.status, 202, answer.text)
  return acknowledged
}

function askToCollect(berth: Berth): Promise<{ status: number; body: unknown }> {
  return berth.api('POST', '/gc/runs', { force: true })
}

/** Asks for cycles until one has ended well and nothing is due any more. */
async function collectUntilDone(berth: Berth): Promise<void> {
  const deadline = performance.now() + recoveryLimitMs
  for (;;) {
    const { status, body } = await askToCollect(berth)
    if (status === 200) {
      const { regions } = body as { regions: { result: { outcome: string } | null }[] }
      if (regions.every(({ result }) => result?.outcome === 'done') && (await dueTasks(berth)) === 0) return
    }
    assert.ok(performance.now() < deadline, `garbage is not collected: ${status} ${JSON.stringify(body)}`)
    await new Promise((resolve) => setTimeout(resolve, recoveryPauseMs))
  }
}

async function dueTasks(berth: Berth): Promise<number> {
  const { body } = await berth.api('GET', '/gc')
  const { regions } = body as { regions: { dueTasks: number }[] }
  return regions.reduce((sum, region) => sum + region.dueTasks, 0)
}
