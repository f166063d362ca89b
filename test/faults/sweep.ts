import assert from 'node:assert/strict'
import type { Berth } from '../support/berth.ts'
import { type Client, createClient } from './client.ts'
import type { Fault, FaultInjector } from './fault-injector.ts'
import {
  type Acknowledged,
  checkAcknowledged,
  checkRefusal,
  pushOnce,
  type StepWatcher,
} from './sweep-push.ts'
import { checkWithFsck } from './verify.ts'

/** What a sweep works on: a running Berth that stores through the injector. */
export type SweepSubject<Kind extends string> = {
  berth: Berth
  injector: FaultInjector<Kind>
  /** Looks closer at each step that was acknowledged. */
  watcher?: StepWatcher
  /** Whether what is there can be read while the fault lasts. */
  readsGoOn: boolean
  /** After so many faults the server is killed and started again, and everything acknowledged so far is read. */
  faultsPerRestart: number
  report: (line: string) => void
}

export type SweepResult = { operations: number; faults: number; hits: number; refusals: number }

/** The same process must accept a push again within this time after the fault is over. */
const recoveryLimitMs = 20_000
const recoveryPauseMs = 200

const nothingToWatch: StepWatcher = { before: () => {}, after: () => {} }

/** Longer than all attempts of the server on a store that never answers. */
const answerLimitMs = 290_000

/** A client with a key of a project for one sweep. */
export async function prepareSweep(berth: Berth): Promise<Client> {
  const project = await berth.createProject('acme')
  const key = await berth.createKey(project.id, { actions: ['pull', 'push', 'delete'] })
  return createClient(berth.registryUrl, key.authorization, answerLimitMs)
}

/**
 * Pushes with one fault each. After each fault: what was acknowledged is there, a refusal was clean, and the same
 * process accepts a push. After some: kill -9, restart, and everything acknowledged is there. In the end fsck.
 */
export async function sweepPush<Kind extends string>(
  subject: SweepSubject<Kind>,
  chooseFaults: (operations: number) => readonly Fault<Kind>[],
): Promise<SweepResult> {
  const { berth, injector, report } = subject
  const client = await prepareSweep(berth)
  // The first push makes folders and caches that no later one makes; the second is the measure.
  const [, old] = [
    await pushWithoutFault(subject, client, 'warm-up'),
    await pushWithoutFault(subject, client, 'measure'),
  ]
  const { operations } = injector.disarm()
  const faults = chooseFaults(operations)
  report(`a push is ${operations} operations; ${faults.length} faults`)
  const result = { operations, faults: faults.length, hits: 0, refusals: 0 }
  let sinceRestart: Acknowledged[] = [old]
  for (const [index, fault] of faults.entries()) {
    try {
      const outcome = await pushWithFault(subject, client, fault, { seed: `fault-${index}`, old })
      result.hits += outcome.wasHit ? 1 : 0
      result.refusals += outcome.wasRefused ? 1 : 0
      sinceRestart.push(...outcome.acknowledged)
      if (sinceRestart.length >= 2 * subject.faultsPerRestart || index === faults.length - 1) {
        await restartAndCheck(berth, client, sinceRestart)
        sinceRestart = []
      }
    } catch (cause) {
      throw explain(cause, fault, subject)
    }
  }
  await checkWithFsck(berth)
  return result
}

async function pushWithoutFault<Kind extends string>(
  { injector, watcher = nothingToWatch }: SweepSubject<Kind>,
  client: Client,
  seed: string,
): Promise<Acknowledged> {
  injector.arm(null)
  const { acknowledged, failed } = await pushOnce(client, 'acme/sweep', seed, watcher)
  assert.equal(failed, null, 'a push without faults')
  return acknowledged
}

async function pushWithFault<Kind extends string>(
  { injector, readsGoOn, watcher = nothingToWatch }: SweepSubject<Kind>,
  client: Client,
  fault: Fault<Kind>,
  { seed, old }: { seed: string; old: Acknowledged },
): Promise<{ wasHit: boolean; wasRefused: boolean; acknowledged: Acknowledged[] }> {
  injector.arm(fault)
  const { acknowledged, failed } = await pushOnce(client, 'acme/sweep', seed, watcher)
  if (readsGoOn) await checkAcknowledged(client, old)
  const { spoiled } = injector.disarm()
  if (failed !== null) {
    assert.ok(spoiled > 0, `${failed.step} failed without a fault: ${failed.answer?.text}`)
    assert.ok(failed.answer !== null, `${failed.step} got no answer`)
    checkRefusal(failed.answer)
  }
  const again = await pushUntilAccepted(client, `${seed}/again`, watcher)
  await checkAcknowledged(client, acknowledged)
  return { wasHit: spoiled > 0, wasRefused: failed !== null, acknowledged: [acknowledged, again] }
}

/** The fault is over: the same process takes a push, at the latest when what it keeps closed opens again. */
async function pushUntilAccepted(client: Client, seed: string, watcher: StepWatcher): Promise<Acknowledged> {
  const deadline = performance.now() + recoveryLimitMs
  for (let attempt = 1; ; attempt += 1) {
    const { acknowledged, failed } = await pushOnce(client, 'acme/sweep', `${seed}/${attempt}`, watcher)
    if (failed === null) return acknowledged
    const text = `${failed.step}: ${failed.answer?.status} ${failed.answer?.text}`
    assert.ok(performance.now() < deadline, `no push is accepted after the fault is over; ${text}`)
    await new Promise((resolve) => setTimeout(resolve, recoveryPauseMs))
  }
}

async function restartAndCheck(
  berth: Berth,
  client: Client,
  acknowledged: readonly Acknowledged[],
): Promise<void> {
  await berth.kill9()
  await berth.restart()
  for (const one of acknowledged) await checkAcknowledged(client, one)
}

function explain<Kind extends string>(
  cause: unknown,
  { n, kind, persistent }: Fault<Kind>,
  { injector, berth }: SweepSubject<Kind>,
): Error {
  const what = `${kind} at operation ${n}${persistent ? ' and after' : ''} (${injector.describe()})`
  const log = berth.log().split('\n').slice(-15).join('\n')
  return new Error(`${what}: ${(cause as Error).message}\n--- berth ---\n${log}`, { cause })
}

/** Spreads a number of faults evenly over all operations, kinds and both durations. 0: all of them. */
export function chooseFaults<Kind extends string>(
  operations: number,
  kinds: readonly Kind[],
  count: number,
): Fault<Kind>[] {
  const all = Array.from({ length: operations }, (_, index) => index + 1).flatMap((n) =>
    kinds.flatMap((kind) => [
      { n, kind, persistent: false },
      { n, kind, persistent: true },
    ]),
  )
  if (count === 0 || count >= all.length) return all
  // A step that has no divisor in common with the number of variants meets all of them.
  const variants = 2 * kinds.length
  let step = Math.max(1, Math.floor(all.length / count))
  while (step > 1 && variants % step === 0) step -= 1
  return all.filter((_, index) => index % step === 0).slice(0, count)
}
