import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Case } from './case.ts'
import { formatReport, spread, summarize } from './report.ts'
import type { Recorded } from './run.ts'
import type { LoadSample } from './sample.ts'
import type { ServerId } from './servers/server.ts'

const testCase: Case = {
  id: 'test',
  title: 'test',
  servers: ['berth', 'registry'],
  freshServers: false,
  goals: {
    push: { rateAtLeast: 2, cpuAtMost: 0.5 },
    page: { sameRateAs: 'push' },
    memory: { valueAtMost: 100 },
  },
  open: async () => [],
}

function record(server: ServerId, round: number, work: number, cpuMs: number, row = 'push'): Recorded {
  const sample: LoadSample = {
    kind: 'load',
    row,
    unit: 'GB',
    work,
    wallMs: 1000,
    cpuMs,
    clientCpuMs: 100,
    peakBytes: 0,
    p50Us: 0,
    p99Us: 0,
  }
  return { caseId: 'test', server, round, sample }
}

test('the median of an even number of values is the mean of the middle two', () => {
  assert.deepEqual(spread([4, 1, 2, 9]), { median: 3, min: 1, max: 9 })
  assert.deepEqual(spread([5, 1, 2]), { median: 2, min: 1, max: 5 })
  assert.equal(spread([]), null)
})

test('ratios are taken within a round, and CPU is counted by unit of work', () => {
  const [row] = summarize(testCase, [
    record('berth', 0, 4, 500),
    record('registry', 0, 1, 500),
    record('registry', 1, 10, 1000),
    record('berth', 1, 10, 1000),
    record('berth', 2, 8, 1000),
    record('registry', 2, 4, 1000),
  ])
  assert.deepEqual(row?.ratios.registry?.rate, { median: 2, min: 1, max: 4 })
  assert.deepEqual(row?.ratios.registry?.cpu, { median: 0.5, min: 0.25, max: 1 })
  assert.deepEqual(
    row?.goals.map((goal) => goal.reached),
    [true, true],
  )
})

test('goals that are missed, or cannot be judged, are not reached', () => {
  const rows = summarize(testCase, [
    record('berth', 0, 1.9, 1000),
    record('registry', 0, 1, 1000),
    record('berth', 0, 1, 1000, 'page'),
    {
      caseId: 'test',
      server: 'berth',
      round: 0,
      sample: { kind: 'value', row: 'memory', unit: 'MiB', value: 101 },
    },
  ])
  assert.deepEqual(
    rows.map((row) => row.goals.map((goal) => goal.reached)),
    [[false, false], [false], [false]],
  )
})

test('the report says when the client may have been the bottleneck', () => {
  const busy = record('berth', 0, 1, 100)
  assert.ok(busy.sample.kind === 'load')
  const rows = summarize(testCase, [{ ...busy, sample: { ...busy.sample, clientCpuMs: 900 } }])
  assert.match(formatReport(rows), /! push, berth: the client was busy 90 %/)
})
