import { GB, MIB, WITHOUT_HTPASSWD, type Case } from '../case.ts'
import { pushMonolithic } from '../requests.ts'

const CLIENTS = 64
const ROW = 'push of 64 MiB, 64 at once'
const PEAK_ROW = `${ROW}: peak memory`

/** 64 clients push a blob of 64 MiB each at the same time: what matters is the server's peak memory. */
export const concurrentPush: Case = {
  id: 'concurrent-push',
  title: '64 concurrent pushes of 64 MiB',
  servers: WITHOUT_HTPASSWD,
  freshServers: true,
  goals: { [PEAK_ROW]: { valueAtMost: 250 } },
  async open(session, content, size) {
    const sizeBytes = (size.quick ? 1 : 64) * MIB
    const stage = async () => {
      const target = await session.target('bench/concurrent')
      const blobs = Array.from({ length: CLIENTS }, () => content.blob(sizeBytes))
      const sample = await session.measure(
        { connections: CLIENTS, jobs: blobs.map((blob) => pushMonolithic(target, blob)) },
        { row: ROW, unit: 'GB', work: ({ bytesOut }) => bytesOut / GB },
      )
      for (const blob of [blobs[0], blobs.at(-1)])
        if (blob !== undefined) await session.checkBlob(target, blob)
      return [sample, { kind: 'value', row: PEAK_ROW, unit: 'MiB', value: sample.peakBytes / MIB } as const]
    }
    return [stage]
  },
}
