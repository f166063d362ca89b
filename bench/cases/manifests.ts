import { ALL_SERVERS, type Case } from '../case.ts'
import { digestOf } from '../content.ts'
import { makeImage, pushLikeContainerd } from '../image.ts'
import { readManifest } from '../requests.ts'

const CLIENTS = 32
const LAYERS = 10
const LAYER_BYTES = 16 * 1024
const REPOSITORY = 'bench/manifests'
const rows = (['GET', 'HEAD'] as const).flatMap((method) =>
  (['tag', 'digest'] as const).map((by) => ({ method, by, row: `manifest ${method} by ${by}` })),
)

/** GET and HEAD of one manifest of ten layers by 32 clients, each request with the server's kind of credential. */
export const manifests: Case = {
  id: 'manifests',
  title: 'manifest GET and HEAD, 32 clients',
  servers: ALL_SERVERS,
  freshServers: false,
  goals: Object.fromEntries(
    rows.filter(({ method }) => method === 'GET').map(({ row }) => [row, { rateAtLeast: 8 }]),
  ),
  async open(session, content, size) {
    const image = makeImage(content, Array<number>(LAYERS).fill(LAYER_BYTES))
    await session.prepare([pushLikeContainerd(await session.target(REPOSITORY), image, 'latest')])
    return rows.map(({ method, by, row }) => async () => {
      const target = await session.target(REPOSITORY)
      const reference = by === 'tag' ? 'latest' : image.manifest.digest
      const request = readManifest(method, target, reference, image.manifest.sizeBytes)
      const sample = await session.measure(
        { connections: CLIENTS, jobs: [[request]], durationMs: size.durationMs },
        { row, unit: 'request', work: ({ requests }) => requests, label: request.label },
      )
      const answer = await session.call(target, request.target, { accept: request.headers['Accept'] ?? '' })
      if (digestOf(answer.body) !== image.manifest.digest) throw new Error(`${row}: other bytes than pushed`)
      return [sample]
    })
  },
}
