import type { Case } from '../case.ts'
import type { Blob, Content } from '../content.ts'
import { call } from '../http.ts'
import { type Image, makeImage, pushLikeContainerd } from '../image.ts'
import { MANIFEST_TYPE, putManifest, type Target } from '../requests.ts'
import { OPERATOR_TOKEN } from '../servers/berth.ts'
import type { Session } from '../session.ts'

const CLIENTS = 8
const PAGE = 10
const FEW = 10
const HEADERS = { authorization: `Bearer ${OPERATOR_TOKEN}` }

/** A list of the console in two sizes: how many there are, and the path in a project with ten and in one with many. */
interface List {
  readonly name: string
  readonly few: string
  readonly many: string
  readonly total: number
}

const LISTS = (repositories: number, tags: number): List[] => [
  {
    name: 'repositories',
    few: '/projects/few/repositories',
    many: '/projects/bench/repositories',
    total: repositories,
  },
  {
    name: 'usage',
    few: '/projects/few/usage/repositories',
    many: '/projects/bench/usage/repositories',
    total: repositories,
  },
  {
    name: 'tags',
    few: '/projects/few/repositories/tagged/tags',
    many: '/projects/bench/repositories/tagged/tags',
    total: tags,
  },
  {
    name: 'manifests',
    few: '/projects/few/repositories/tagged/manifests',
    many: '/projects/bench/repositories/tagged/manifests',
    total: tags,
  },
]

const PLACES = ['start', 'middle', 'end'] as const
const fewRow = (name: string): string => `console: page of ${name}, of ten`
const manyRow = (name: string, place: string): string => `console: page of ${name}, at the ${place} of many`

/** Pages of ten of the console's lists: with 1 000 repositories and 10 000 tags they must cost what they cost with ten. */
export const consoleLists: Case = {
  id: 'console-lists',
  title: 'list pages of the console: 1 000 repositories, 10 000 tags',
  servers: ['berth'],
  freshServers: false,
  goals: Object.fromEntries(
    LISTS(0, 0).flatMap(({ name }) =>
      PLACES.map((place) => [manyRow(name, place), { sameCpuAs: fewRow(name) }]),
    ),
  ),
  async open(session, content, size) {
    const repositories = size.quick ? 30 : 1_000
    const tags = size.quick ? 100 : 10_000
    const { target: fewTarget } = await createProject(session, 'few')
    await fill(session, content, (repository) => fewTarget(`few/${repository}`), FEW, FEW)
    await fill(session, content, (repository) => session.target(`bench/${repository}`), repositories, tags)
    return LISTS(repositories, tags).flatMap(({ name, few, many, total }) => [
      () => measurePage(session, fewRow(name), few, 0, FEW, size.durationMs),
      ...PLACES.map((place) => () => {
        const from = { start: 0, middle: total / 2, end: total - PAGE }[place]
        return measurePage(session, manyRow(name, place), many, from, total, size.durationMs)
      }),
    ])
  },
}

type TargetOf = (repository: string) => Promise<Target> | Target

/** `repositories` in all, one of which has `tags` tags of as many images. */
async function fill(
  session: Session,
  content: Content,
  targetOf: TargetOf,
  repositories: number,
  tags: number,
): Promise<void> {
  const image = makeImage(content, [256])
  const jobs = []
  for (let i = 1; i < repositories; i++) {
    const target = await targetOf(`app/r${String(i).padStart(5, '0')}`)
    jobs.push(pushLikeContainerd(target, image, 'latest'))
  }
  await session.prepare(jobs)
  const tagged = await targetOf('tagged')
  await session.prepare([pushLikeContainerd(tagged, image, tagName(0))])
  await session.prepare(
    Array.from({ length: tags - 1 }, (_, i) => [
      putManifest(tagged, tagName(i + 1), variantOf(content, image, i + 1)),
    ]),
  )
}

/** Another manifest over the same blobs. */
function variantOf(content: Content, { config, layers }: Image, i: number): Blob {
  const descriptor = (mediaType: string, { digest, sizeBytes }: Blob) => ({
    mediaType,
    digest,
    size: sizeBytes,
  })
  const document = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: descriptor('application/vnd.oci.image.config.v1+json', config),
    layers: layers.map((layer) => descriptor('application/vnd.oci.image.layer.v1.tar+gzip', layer)),
    annotations: { build: String(i) },
  }
  return content.store(Buffer.from(JSON.stringify(document)))
}

function tagName(i: number): string {
  return `build-${String(i).padStart(5, '0')}`
}

async function createProject(session: Session, namespace: string) {
  await post(session, '/projects', { name: namespace, namespace })
  const created = await post(session, `/projects/${namespace}/api-keys`, {
    name: 'bench',
    actions: ['pull', 'push'],
  })
  const authorization = `Basic ${Buffer.from(`api:${String(created['key'])}`).toString('base64')}`
  const headers = { Host: session.server.host, 'User-Agent': 'berth-bench', Authorization: authorization }
  return { target: (repository: string): Target => ({ repository, headers }) }
}

async function post(session: Session, path: string, body: object): Promise<Record<string, unknown>> {
  const answer = await call({
    port: session.server.site.consolePort,
    method: 'POST',
    path: `/api/v1${path}`,
    headers: { ...HEADERS, 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify(body)),
  })
  if (answer.status !== 201) throw new Error(`POST ${path}: ${answer.status} ${answer.text()}`)
  return answer.json() as Record<string, unknown>
}

interface ListPage {
  readonly items: readonly unknown[]
  readonly nextCursor: string | null
}

const MAX_PAGE = 500

async function readPage(session: Session, path: string) {
  const port = session.server.site.consolePort
  const answer = await call({ port, method: 'GET', path, headers: HEADERS })
  if (answer.status !== 200) throw new Error(`GET ${path}: ${answer.status} ${answer.text()}`)
  return { page: answer.json() as ListPage, bytes: answer.body.length }
}

/** Goes to the place page by page, and then reads the page there again and again. */
async function measurePage(
  session: Session,
  row: string,
  list: string,
  from: number,
  total: number,
  durationMs: number,
) {
  const pathAt = (cursor: string | null, limit: number): string =>
    `/api/v1${list}?limit=${limit}${cursor === null ? '' : `&cursor=${cursor}`}`
  let cursor: string | null = null
  for (let at = 0; at < from; ) {
    const { page } = await readPage(session, pathAt(cursor, Math.min(MAX_PAGE, from - at)))
    at += page.items.length
    cursor = page.nextCursor
    if (cursor === null) throw new Error(`${row}: the list ends at ${at} of ${total}`)
  }
  const path = pathAt(cursor, PAGE)
  const { page, bytes } = await readPage(session, path)
  if (page.items.length !== PAGE) throw new Error(`${row}: ${page.items.length} entries instead of ${PAGE}`)
  const headers = { Host: session.server.host, Authorization: HEADERS.authorization }
  const request = { label: 'GET list', method: 'GET' as const, target: path, headers, expect: [200] }
  const sample = await session.measure(
    { connections: CLIENTS, jobs: [[{ ...request, responseBytes: bytes }]], durationMs },
    {
      row,
      unit: 'request',
      work: ({ requests }) => requests,
      label: request.label,
      port: session.server.site.consolePort,
    },
  )
  return [sample]
}
