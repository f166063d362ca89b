import { ALL_SERVERS, type Case } from '../case.ts'
import { mountBlob, pushMonolithic } from '../requests.ts'

const CLIENTS = 16
const BLOB_BYTES = 4096
const SOURCE = 'bench/mount-source'
const ROW = 'mount of a blob'

/** Mounts of blobs of one repository into another. */
export const mount: Case = {
  id: 'mount',
  title: 'cross-repository mount, 16 clients',
  servers: ALL_SERVERS,
  freshServers: false,
  goals: {},
  async open(session, content, size) {
    const blobs = Array.from({ length: size.quick ? 50 : 1000 }, () => content.blob(BLOB_BYTES))
    const source = await session.target(SOURCE)
    await session.prepare(blobs.map((blob) => pushMonolithic(source, blob)))
    const stage = async (round: number) => {
      const target = await session.target(`bench/mount-${round}`, SOURCE)
      const sample = await session.measure(
        { connections: CLIENTS, jobs: blobs.map((blob) => [mountBlob(target, blob, SOURCE)]) },
        { row: ROW, unit: 'request', work: ({ requests }) => requests, label: 'POST mount' },
      )
      for (const blob of blobs.slice(0, 5)) await session.checkBlob(target, blob)
      return [sample]
    }
    return [stage]
  },
}
