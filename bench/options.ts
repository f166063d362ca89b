import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Size } from './case.ts'
import { allCases } from './cases/all.ts'

/** What `--help` and mistakes show. */
export const USAGE = `Usage: npm run bench -- [options]

  --only a,b     run these cases only
  --rounds N     rounds for each case (default 3)
  --quick        everything small: checks that the benchmark works, measures nothing
  --json FILE    also write every sample and the summary as JSON; "-" for stdout, with the table on stderr
  --dir FOLDER   put the servers' data here (default: the system's temporary folder); about 10 GB
  --profile DIR  run Berth with V8's CPU profiler and write a .cpuprofile for each start to DIR

Cases: ${allCases.map((which) => which.id).join(', ')}
`

const DURATION_MS = 3000
const QUICK_DURATION_MS = 300

/** What the command line asks for. */
export interface Options {
  /** Cases to run; null means all. */
  readonly only: readonly string[] | null
  readonly size: Size
  readonly json: string | null
  readonly folder: string
  readonly profileFolder: string | null
}

/** Reads the command line; a string says what is wrong with it. */
export function readOptions(): Options | string {
  const types = {
    only: { type: 'string' },
    rounds: { type: 'string' },
    quick: { type: 'boolean' },
    json: { type: 'string' },
    dir: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean' },
  } as const
  try {
    const { values } = parseArgs({ options: types })
    const quick = values.quick ?? false
    const rounds = Number(values.rounds ?? (quick ? 1 : 3))
    const only = values.only?.split(',') ?? null
    const unknown = only?.filter((id) => !allCases.some((which) => which.id === id)) ?? []
    if (values.help) return 'Berth side by side with docker-registry.'
    if (!Number.isInteger(rounds) || rounds < 1) return '--rounds must be a whole number from 1'
    if (unknown.length > 0) return `unknown cases: ${unknown.join(', ')}`
    return {
      only,
      size: { quick, rounds, durationMs: quick ? QUICK_DURATION_MS : DURATION_MS },
      json: values.json ?? null,
      folder: values.dir === undefined ? tmpdir() : resolve(values.dir),
      profileFolder: values.profile === undefined ? null : resolve(values.profile),
    }
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause)
  }
}
