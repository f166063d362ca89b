import type { Case } from './case.ts'
import type { Recorded } from './run.ts'
import { type Goal, type LoadSample, SAME_RATE, type Sample } from './sample.ts'
import type { ServerId } from './servers/server.ts'

/** Above this share of its time the load generator is taken for a possible bottleneck. */
const CLIENT_BUSY_LIMIT = 0.7

/** The middle of some values and how far they go. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Berth beside one other server in one row: ratios taken round by round. */
export interface Comparison {
  readonly rate: Spread | null
  readonly cpu: Spread | null
  readonly value: Spread | null
}

/** One server in one row. What a kind of sample does not have is null. */
export interface Figures {
  /** Units a second. */
  readonly rate: Spread | null
  /** CPU seconds of the server for one unit. */
  readonly cpu: Spread | null
  /** Of a state, in the row's unit. */
  readonly value: Spread | null
  readonly p50Ms: Spread | null
  readonly p99Ms: Spread | null
  /** Share of the time that the load generator's one thread was busy. */
  readonly clientBusy: Spread | null
}

/** A row of the report. */
export interface Row {
  readonly caseId: string
  readonly row: string
  readonly unit: string
  readonly servers: Readonly<Partial<Record<ServerId, Figures>>>
  /** Berth over each other server. */
  readonly ratios: Readonly<Partial<Record<ServerId, Comparison>>>
  readonly goals: readonly { readonly text: string; readonly reached: boolean }[]
}

/** Sums up what was recorded of a case, a row for each kind of sample in the order they came. */
export function summarize(which: Case, records: readonly Recorded[]): Row[] {
  const names = [...new Set(records.map((record) => record.sample.row))]
  const rows = names.map((row) => {
    const of = (id: ServerId): Map<number, Sample> =>
      new Map(
        records
          .filter((record) => record.server === id && record.sample.row === row)
          .map((record) => [record.round, record.sample]),
      )
    const berth = of('berth')
    const servers: Row['servers'] = Object.fromEntries(
      which.servers.map((id) => [id, figures([...of(id).values()])]),
    )
    const ratios: Row['ratios'] = Object.fromEntries(
      which.servers.filter((id) => id !== 'berth').map((id) => [id, compare(berth, of(id))]),
    )
    const unit = records.find((record) => record.sample.row === row)?.sample.unit ?? ''
    return { caseId: which.id, row, unit, servers, ratios, goals: [] }
  })
  return rows.map((row) => {
    const goal = which.goals[row.row]
    return goal === undefined ? row : { ...row, goals: judge(goal, row, rows) }
  })
}

/** The report as text for a terminal: a table, and below it what makes a row doubtful. */
export function formatReport(rows: readonly Row[]): string {
  const header = [
    'case',
    'unit',
    'Berth',
    'registry',
    'x rate',
    'x CPU',
    'Berth CPU',
    'registry CPU',
    'htpasswd: x rate',
    'x CPU',
    'goal',
  ]
  const lines = rows.map((row) => {
    const berth = row.servers.berth
    const registry = row.servers.registry
    const plain = row.ratios.registry
    const htpasswd = row.ratios['registry-htpasswd']
    return [
      row.row,
      berth?.rate ? `${row.unit}/s` : row.unit,
      number(berth?.rate ?? berth?.value),
      number(registry?.rate ?? registry?.value),
      ratio(plain?.rate ?? plain?.value),
      ratio(plain?.cpu),
      cpu(berth?.cpu, row.unit),
      cpu(registry?.cpu, row.unit),
      ratio(htpasswd?.rate),
      ratio(htpasswd?.cpu),
      row.goals.map((goal) => `${goal.text} ${goal.reached ? 'yes' : 'NO'}`).join(', '),
    ]
  })
  const widths = header.map((name, i) => Math.max(name.length, ...lines.map((line) => line[i]?.length ?? 0)))
  const table = [header, widths.map((width) => '-'.repeat(width)), ...lines].map((line) =>
    line
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  return [...table, ...rows.flatMap(doubts)].join('\n')
}

/** Says so when the load generator was so busy that it may have held a server back. */
function doubts(row: Row): string[] {
  return Object.entries(row.servers).flatMap(([id, figures]) =>
    figures.clientBusy !== null && figures.clientBusy.median > CLIENT_BUSY_LIMIT
      ? [
          `! ${row.row}, ${id}: the client was busy ${(figures.clientBusy.median * 100).toFixed(0)} % of the time: the real rate may be higher`,
        ]
      : [],
  )
}

/** Median and range. The median of an even number of values is the mean of the middle two. */
export function spread(values: readonly number[]): Spread | null {
  const sorted = values.filter(Number.isFinite).toSorted((a, b) => a - b)
  const low = sorted[Math.floor((sorted.length - 1) / 2)]
  const high = sorted[Math.floor(sorted.length / 2)]
  const [min, max] = [sorted[0], sorted.at(-1)]
  if (low === undefined || high === undefined || min === undefined || max === undefined) return null
  return { median: (low + high) / 2, min, max }
}

const ratePerS = (sample: LoadSample): number => sample.work / (sample.wallMs / 1000)
const cpuSPerUnit = (sample: LoadSample): number => sample.cpuMs / 1000 / sample.work

function figures(samples: readonly Sample[]): Figures {
  const loads = samples.filter((sample) => sample.kind === 'load')
  return {
    rate: spread(loads.map(ratePerS)),
    cpu: spread(loads.map(cpuSPerUnit)),
    value: spread(samples.flatMap((sample) => (sample.kind === 'value' ? [sample.value] : []))),
    p50Ms: spread(loads.filter((sample) => sample.p50Us > 0).map((sample) => sample.p50Us / 1000)),
    p99Ms: spread(loads.filter((sample) => sample.p99Us > 0).map((sample) => sample.p99Us / 1000)),
    clientBusy: spread(loads.map((sample) => sample.clientCpuMs / sample.wallMs)),
  }
}

function compare(berth: ReadonlyMap<number, Sample>, other: ReadonlyMap<number, Sample>): Comparison {
  const rates: number[] = []
  const cpus: number[] = []
  const values: number[] = []
  for (const [round, ours] of berth) {
    const theirs = other.get(round)
    if (ours.kind === 'load' && theirs?.kind === 'load') {
      rates.push(ratePerS(ours) / ratePerS(theirs))
      cpus.push(cpuSPerUnit(ours) / cpuSPerUnit(theirs))
    } else if (ours.kind === 'value' && theirs?.kind === 'value') values.push(ours.value / theirs.value)
  }
  return { rate: spread(rates), cpu: spread(cpus), value: spread(values) }
}

function judge(goal: Goal, row: Row, rows: readonly Row[]): Row['goals'] {
  const { rate, cpu: cpuRatio } = row.ratios.registry ?? { rate: null, cpu: null }
  const berth = row.servers.berth
  const goals: { text: string; reached: boolean }[] = []
  if (goal.rateAtLeast !== undefined) {
    goals.push({
      text: `rate >= ${goal.rateAtLeast}x`,
      reached: rate !== null && rate.median >= goal.rateAtLeast,
    })
  }
  if (goal.cpuAtMost !== undefined) {
    goals.push({
      text: `CPU <= ${goal.cpuAtMost}x`,
      reached: cpuRatio !== null && cpuRatio.median <= goal.cpuAtMost,
    })
  }
  if (goal.valueAtMost !== undefined) {
    goals.push({
      text: `<= ${goal.valueAtMost} ${row.unit}`,
      reached: (berth?.value?.median ?? Number.POSITIVE_INFINITY) <= goal.valueAtMost,
    })
  }
  if (goal.sameCpuAs !== undefined) {
    const base = rows.find((other) => other.row === goal.sameCpuAs)?.servers.berth?.cpu
    const factor = base && berth?.cpu ? berth.cpu.median / base.median : Number.POSITIVE_INFINITY
    goals.push({ text: `CPU as with few (${factor.toFixed(2)}x)`, reached: factor <= 1 / SAME_RATE })
  }
  if (goal.sameRateAs !== undefined) {
    const base = rows.find((other) => other.row === goal.sameRateAs)?.servers.berth?.rate
    const factor = base && berth?.rate ? berth.rate.median / base.median : 0
    goals.push({ text: `same as with few (${factor.toFixed(2)}x)`, reached: factor >= SAME_RATE })
  }
  return goals
}

function ratio(value: Spread | null | undefined): string {
  if (!value) return ''
  if (value.min === value.max) return number(value)
  return `${number(value)} (${short(value.min)}-${short(value.max)})`
}

function number(value: Spread | null | undefined): string {
  return value ? short(value.median) : ''
}

function short(value: number): string {
  if (value >= 100) return value.toFixed(0)
  if (value >= 10) return value.toFixed(1)
  return value.toFixed(value >= 0.1 ? 2 : 3)
}

function cpu(value: Spread | null | undefined, unit: string): string {
  if (!value) return ''
  return unit === 'GB' ? `${short(value.median)} s/GB` : `${short(value.median * 1000)} ms/${unit}`
}
