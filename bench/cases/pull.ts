import { GB, MIB, WITHOUT_HTPASSWD, type Case } from '../case.ts'
import { getBlob, pushMonolithic } from '../requests.ts'

const BLOBS = 4
const CLIENTS = [4, 32] as const
const rows = CLIENTS.map((clients) => ({ clients, row: `pull of 64 MiB, ${clients} clients` }))

/** Pulls of blobs of 64 MiB that are in the page cache, by 4 and by 32 clients. */
export const pull: Case = {
  id: 'pull',
  title: 'pull of 64 MiB blobs',
  servers: WITHOUT_HTPASSWD,
  freshServers: false,
  goals: Object.fromEntries(rows.map(({ row }) => [row, { cpuAtMost: 0.75 }])),
  async open(session, content, size) {
    const blobs = Array.from({ length: BLOBS }, () => content.blob((size.quick ? 4 : 64) * MIB))
    const target = await session.target('bench/pull')
    await session.prepare(blobs.map((blob) => pushMonolithic(target, blob)))
    const stages = rows.map(({ clients, row }) => async () => {
      const authorized = await session.target('bench/pull')
      const sample = await session.measure(
        { connections: clients, jobs: blobs.map((blob) => [getBlob(authorized, blob)]), passes: 16 },
        { row, unit: 'GB', work: ({ bytesIn }) => bytesIn / GB, label: 'GET blob' },
      )
      for (const blob of blobs) await session.checkBlob(authorized, blob)
      return [sample]
    })
    return stages
  },
}
