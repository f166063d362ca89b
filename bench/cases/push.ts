import { GB, MIB, WITHOUT_HTPASSWD, type Case } from '../case.ts'
import type { Blob } from '../content.ts'
import type { Job } from '../load/plan.ts'
import { pushChunked, pushMonolithic, pushStreamed, type Target } from '../requests.ts'

const CHUNK_BYTES = 16 * MIB
const CLIENTS = [1, 4] as const

/** Pushes of large blobs, each way that clients have: four blobs of 256 MiB, by one client and by four. */
export const pushCases: readonly Case[] = [
  pushCase('push-monolithic', 'POST, PUT', pushMonolithic),
  pushCase('push-streamed', 'POST, PATCH (chunked encoding), PUT', pushStreamed),
  pushCase('push-chunked', 'POST, PATCH of 16 MiB each (Content-Range), PUT', (target, blob) =>
    pushChunked(target, blob, CHUNK_BYTES),
  ),
]

function pushCase(id: string, how: string, push: (target: Target, blob: Blob) => Job): Case {
  const rows = CLIENTS.map((clients) => ({
    clients,
    row: `${id}, ${clients} client${clients > 1 ? 's' : ''}`,
  }))
  return {
    id,
    title: `push of 256 MiB blobs: ${how}`,
    servers: WITHOUT_HTPASSWD,
    freshServers: false,
    goals: Object.fromEntries(rows.map(({ row }) => [row, { rateAtLeast: 1.5, cpuAtMost: 0.6 }])),
    async open(session, content, size) {
      const sizeBytes = size.quick ? 8 * MIB : 256 * MIB
      const stages = rows.map(({ clients, row }) => async (round: number) => {
        const target = await session.target(`bench/${id}-${clients}-${round}`)
        const blobs = Array.from({ length: 4 }, () => content.blob(sizeBytes))
        const sample = await session.measure(
          { connections: clients, jobs: blobs.map((blob) => push(target, blob)) },
          { row, unit: 'GB', work: ({ bytesOut }) => bytesOut / GB },
        )
        const last = blobs.at(-1)
        if (last !== undefined) await session.checkBlob(target, last)
        return [sample]
      })
      return stages
    },
  }
}
