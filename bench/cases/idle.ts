import { type Case, MIB, WITHOUT_HTPASSWD } from '../case.ts'
import { residentBytes } from '../process-tree.ts'
import type { Sample } from '../sample.ts'

const IDLE_MS = 5000
const FIRST_ROW = 'first start, on an empty folder'
const START_ROW = 'start'
const MEMORY_ROW = 'idle memory'

/** Start time, the first and a later one, and the memory of a server that has just started and does nothing. */
export const idle: Case = {
  id: 'idle',
  title: 'start and idle memory',
  servers: WITHOUT_HTPASSWD,
  freshServers: true,
  goals: {
    [FIRST_ROW]: { valueAtMost: 1000 },
    [START_ROW]: { valueAtMost: 1000 },
    [MEMORY_ROW]: { valueAtMost: 110 },
  },
  async open(session, _content, size) {
    const stage = async (): Promise<Sample[]> => {
      const firstMs = session.server.startMs()
      await session.server.restart()
      await new Promise((resolve) => setTimeout(resolve, size.quick ? 500 : IDLE_MS))
      return [
        { kind: 'value', row: FIRST_ROW, unit: 'ms', value: firstMs },
        { kind: 'value', row: START_ROW, unit: 'ms', value: session.server.startMs() },
        {
          kind: 'value',
          row: MEMORY_ROW,
          unit: 'MiB',
          value: (await residentBytes(session.server.pid())) / MIB,
        },
      ]
    }
    return [stage]
  },
}
