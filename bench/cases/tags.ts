import { type Case, WITHOUT_HTPASSWD } from '../case.ts'
import { type Image, makeImage, pushLikeContainerd } from '../image.ts'
import type { Job, PlannedRequest } from '../load/plan.ts'
import { putManifest, type Target } from '../requests.ts'
import type { Session } from '../session.ts'

const CLIENTS = 16
const PAGE = 100
const MANY = 'bench/tags-many'
const FEW = 'bench/tags-few'

const PUSH_ROW = 'tags: PUT manifest under a new tag'
const ALL_ROW = 'tags: list of all of 10 000'
const FEW_ROW = 'tags: page of 100, 100 tags'
const pageRow = (place: string): string => `tags: page of 100 at the ${place} of 10 000`

/** 10 000 tags in one repository: pushing them, listing all, and pages of 100, which must not depend on how many there are. */
export const tags: Case = {
  id: 'tags',
  title: '10 000 tags in a repository',
  servers: WITHOUT_HTPASSWD,
  freshServers: false,
  goals: Object.fromEntries(
    ['start', 'middle', 'end'].map((place) => [pageRow(place), { rateAtLeast: 20, sameRateAs: FEW_ROW }]),
  ),
  async open(session, content, size) {
    const total = size.quick ? 300 : 10_000
    const image = makeImage(content, [4096])
    const few = await session.target(FEW)
    await session.prepare([pushLikeContainerd(await session.target(MANY), image, tagName(0))])
    await session.prepare([pushLikeContainerd(few, image, tagName(0))])
    await session.prepare(tagJobs(few, image, 1, PAGE))
    const perRound = Math.ceil((total - 1) / size.rounds)
    const push = async (round: number) => {
      const from = 1 + round * perRound
      const jobs = tagJobs(await session.target(MANY), image, from, Math.min(total, from + perRound))
      return [
        await session.measure(
          { connections: CLIENTS, jobs },
          { row: PUSH_ROW, unit: 'request', work: ({ requests }) => requests, label: 'PUT manifest' },
        ),
      ]
    }
    const pages = [
      { row: pageRow('start'), query: `?n=${PAGE}`, first: 0 },
      { row: pageRow('middle'), query: `?n=${PAGE}&last=${tagName(total / 2 - 1)}`, first: total / 2 },
      { row: pageRow('end'), query: `?n=${PAGE}&last=${tagName(total - PAGE - 1)}`, first: total - PAGE },
    ].map(({ row, query, first }) => async () => {
      const target = await session.target(MANY)
      return [await measureList(session, target, row, query, size.durationMs, { first, count: PAGE, total })]
    })
    const all = async () => {
      const target = await session.target(MANY)
      return [
        await measureList(session, target, ALL_ROW, '', size.durationMs, { first: 0, count: total, total }),
      ]
    }
    const fewPage = async () => {
      const target = await session.target(FEW)
      const wanted = { first: 0, count: PAGE, total: PAGE }
      return [await measureList(session, target, FEW_ROW, `?n=${PAGE}`, size.durationMs, wanted)]
    }
    return [push, all, fewPage, ...pages]
  },
}

function tagName(i: number): string {
  return `build-${String(i).padStart(5, '0')}`
}

function tagJobs(target: Target, image: Image, from: number, to: number): Job[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, i) => [
    putManifest(target, tagName(from + i), image.manifest),
  ])
}

/**
 * Measures a list. The tags are checked first, by hand; a list without `n` may come in several answers joined by Link,
 * and then one unit of work is all of them. A server that does not page answers each query with everything.
 */
async function measureList(
  session: Session,
  target: Target,
  row: string,
  query: string,
  durationMs: number,
  wanted: { first: number; count: number; total: number },
): ReturnType<Session['measure']> {
  const requests: PlannedRequest[] = []
  const seen: string[] = []
  let path: string | null = `/v2/${target.repository}/tags/list${query}`
  while (path !== null) {
    const answer = await session.call(target, path)
    if (answer.status !== 200) throw new Error(`GET ${path}: ${answer.status} ${answer.text()}`)
    seen.push(...(answer.json() as { tags: string[] }).tags)
    requests.push({
      label: 'GET tags',
      method: 'GET',
      target: path,
      headers: target.headers,
      expect: [200],
      responseBytes: answer.body.length,
    })
    path = query === '' ? nextPage(String(answer.headers['link'] ?? '')) : null
  }
  // docker-registry 2.8 knows neither `n` nor the order that the specification asks for.
  const paged = session.server.adapter.pagesTags
  const [first, count] = paged ? [wanted.first, wanted.count] : [0, wanted.total]
  const expected = Array.from({ length: count }, (_, i) => tagName(first + i))
  if ((paged ? seen : seen.toSorted()).join() !== expected.join()) {
    throw new Error(`${row}: the ${seen.length} tags of the answer are not the ${count} that were expected`)
  }
  return session.measure(
    { connections: CLIENTS, jobs: [requests], durationMs },
    { row, unit: 'list', work: ({ jobs }) => jobs, label: 'GET tags' },
  )
}

/** The path that a Link header names as next, or null. */
function nextPage(link: string): string | null {
  const url = /<([^>]+)>\s*;\s*rel="?next"?/.exec(link)?.[1]
  if (url === undefined) return null
  const { pathname, search } = new URL(url, 'http://localhost')
  return pathname + search
}
