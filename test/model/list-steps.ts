import assert from 'node:assert/strict'
import { UNAUTHORIZED } from './access-model.ts'
import { DENIED, type Expected, NAME_UNKNOWN } from './registry-model.ts'
import { assertAnswer, isAccepted, refusalOf, type Resolved, send, type World } from './world.ts'

/** More pages than any list of a run has. */
const MAX_PAGES = 30

type Page = { items: string[]; document: Record<string, unknown> }

/**
 * Reads all pages of a list by their links, each at most `pageSize` long; null when the first answer is the refusal
 * that was expected.
 */
async function readPages(
  world: World,
  who: Resolved,
  { path, pageSize, expected }: { path: string; pageSize: number; expected: Expected },
  itemsOf: (document: Record<string, unknown>) => string[],
): Promise<Page | null> {
  const items: string[] = []
  let next: string | null = `${path}${path.includes('?') ? '&' : '?'}n=${pageSize}`
  let document: Record<string, unknown> = {}
  for (let pages = 0; next !== null; pages += 1) {
    assert.ok(pages < MAX_PAGES, `the links of ${path} go on for ever`)
    const answer = await send(world, who.credential, 'GET', next)
    assertAnswer(answer, expected, `GET ${next}`)
    if (expected.status !== 200) return null
    document = JSON.parse(answer.body.toString('utf8')) as Record<string, unknown>
    const found = itemsOf(document)
    assert.ok(found.length <= pageSize, `${next} is longer than asked for`)
    items.push(...found)
    const link = /^<([^>]+)>; *rel="?next"?$/.exec(String(answer.headers['link'] ?? ''))
    next = link?.[1] ?? null
    if (next !== null) assert.equal(found.length, pageSize, 'a page with a next one is full')
  }
  return { items, document }
}

export async function listTags(world: World, who: Resolved, path: string, pageSize: number): Promise<void> {
  const { model } = who.target
  const repository = model.repositories.get(path)
  const refused = refusalOf(world, who, { path, action: 'pull' })
  const expected = refused ?? (repository === undefined ? NAME_UNKNOWN : { status: 200 })
  const name = `${model.namespace}/${path}`
  const page = await readPages(
    world,
    who,
    { path: `/v2/${name}/tags/list`, pageSize, expected },
    ({ tags }) => tags as string[],
  )
  if (page === null) return
  assert.deepEqual(page.items, [...(repository?.tags.keys() ?? [])].sort())
  assert.equal(page.document['name'], name)
}

export async function listRepositories(world: World, who: Resolved, pageSize: number): Promise<void> {
  const { credential } = who
  const { namespace, repositories } = credential.key.project
  // Tokens of the model never ask for the catalog.
  const isToken = credential.kind === 'token'
  const expected = !isAccepted(world, credential)
    ? UNAUTHORIZED
    : !credential.key.actions.has('pull')
      ? DENIED
      : isToken
        ? UNAUTHORIZED
        : { status: 200 }
  const page = await readPages(
    world,
    who,
    { path: '/v2/_catalog', pageSize, expected },
    (document) => document['repositories'] as string[],
  )
  if (page === null) return
  const names = [...repositories.keys()].map((path) => `${namespace}/${path}`)
  assert.deepEqual(page.items, names.sort())
}

type Descriptor = { digest: string; size: number; mediaType: string; artifactType?: string }

export async function listReferrers(
  world: World,
  who: Resolved,
  { path, subject, artifactType }: { path: string; subject: string; artifactType: string | null },
  pageSize: number,
): Promise<void> {
  const { model } = who.target
  const expected = refusalOf(world, who, { path, action: 'pull' }) ?? { status: 200 }
  const filter = artifactType === null ? '' : `?artifactType=${encodeURIComponent(artifactType)}`
  const found: Descriptor[] = []
  const page = await readPages(
    world,
    who,
    { path: `/v2/${model.namespace}/${path}/referrers/${subject}${filter}`, pageSize, expected },
    ({ manifests }) => {
      found.push(...(manifests as Descriptor[]))
      return (manifests as Descriptor[]).map(({ digest }) => digest)
    },
  )
  if (page === null) return
  assert.deepEqual(
    found.map(({ digest, size, mediaType, artifactType: type }) => ({ digest, size, mediaType, type })),
    model.referrers(path, subject, artifactType).map((manifest) => ({
      digest: manifest.digest,
      size: manifest.content.byteLength,
      mediaType: manifest.mediaType,
      type: manifest.artifactType,
    })),
    `referrers of ${subject}`,
  )
}
