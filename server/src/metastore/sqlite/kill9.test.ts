// @tier full
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { openConnection } from './connection.ts'
import { WRITER_CACHE_KIB } from './limits.ts'

const ROUNDS = 10
const LONGEST_LIFE_MS = 250
const SEED = Number(process.env['BERTH_TEST_SEED'] ?? 20_260_101)

test(`kill -9: everything acknowledged is there, and nothing is there by half (seed ${SEED})`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-kill9-'))
  const path = join(folder, 'region.db')
  const random = randomNumbers(SEED)
  const acknowledged: string[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    acknowledged.push(...(await liveAndDie(path, `round ${round}`, random() * LONGEST_LIFE_MS)))
    const state = readState(path)
    for (const requestId of acknowledged) assert.ok(state.requestIds.has(requestId), `${requestId} is lost`)
    assert.equal(state.counted, state.requestIds.size)
    assert.equal(state.integrity, 'ok')
  }
  // Otherwise nothing was tested.
  assert.ok(acknowledged.length > ROUNDS)
  rmSync(folder, { recursive: true })
})

/** Lets a process append for a while, kills it, and answers what it had acknowledged. */
async function liveAndDie(path: string, prefix: string, lifeMs: number): Promise<string[]> {
  const script = new URL('./kill9-child.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [script, path, prefix], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const closed = once(child, 'close')
  await Promise.race([once(child.stdout, 'data'), closed])
  await pause(lifeMs)
  child.kill('SIGKILL')
  const [, signal] = (await closed) as [number | null, string | null]
  assert.equal(signal, 'SIGKILL')
  // The last line may be cut.
  return output.split('\n').slice(0, -1)
}

/** Opens the file as the next process does, which recovers what is in its write-ahead log. */
function readState(path: string): { requestIds: Set<string>; counted: number; integrity: unknown } {
  const connection = openConnection(path, {
    synchronous: 'full',
    queryOnly: false,
    cacheKib: WRITER_CACHE_KIB,
    autoCheckpointPages: 0,
  })
  try {
    const events = connection.prepare('select request_id from audit_event').all()
    return {
      requestIds: new Set(events.map((event) => String(event['request_id']))),
      counted: Number(
        connection.prepare('select sum(used_bytes) as used from project_usage').get()?.['used'],
      ),
      integrity: connection.prepare('pragma integrity_check').get()?.['integrity_check'],
    }
  } finally {
    connection.close()
  }
}

/** Mulberry32: numbers from 0 to 1 that the seed decides. */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
