import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { pushPostOnly, type Target } from './blob-push.ts'
import { type Client, nextPage, type Reply, withQuery } from './client.ts'
import { digestOf } from './content.ts'
import { addImage, createDataSet } from './data-sets.ts'
import { expectError, expectStatus, parseJson } from './expect.ts'
import { type Manifest, pushManifest } from './pull-checks.ts'
import type { Project, Registry } from './registry.ts'

/** In the order of their bytes: digits, capitals, underscore, small letters. */
const tags = ['0.1', '1.0', '10', '2', 'A', 'Z', '_', 'a', 'a.b', 'z']

/** "Listing Tags" of the spec, and the catalog that clients know from before the spec. */
export function defineListCases(registry: Registry, project: Project): void {
  const { client, namespace } = project
  const target: Target = { client, repository: `${namespace}/tags`, isDev: true }
  describe('the tag list', () => defineTagList(target))
  describe('the catalog', () => defineCatalog(registry, project))
}

function defineTagList(target: Target): void {
  const { client, repository } = target
  const path = `/v2/${repository}/tags/list`
  const list = async (
    parameters: Record<string, string>,
  ): Promise<{ tags: string[]; next: string | null }> => {
    const reply = await client.request('GET', withQuery(path, parameters))
    expectStatus(reply, 200)
    const body = parseJson(reply) as { name: string; tags: string[] }
    assert.deepEqual(Object.keys(body), ['name', 'tags'])
    return { tags: body.tags, next: nextPage(reply) }
  }

  it('is NAME_UNKNOWN before the first push, and a list without a tag', async () => {
    expectError(await client.request('GET', path), 404, 'NAME_UNKNOWN')
    const manifest = await pushImage(target)
    await pushManifest(target, manifest, manifest.digest)
    assert.deepEqual(await list({}), { tags: [], next: null })
    const shuffled = tags.toSorted((a, b) =>
      digestOf('sha256', Buffer.from(a)) < digestOf('sha256', Buffer.from(b)) ? -1 : 1,
    )
    for (const tag of shuffled) await pushManifest(target, manifest, tag)
  })

  it('is in the order of bytes', async () => {
    assert.deepEqual(await list({}), { tags, next: null })
  })

  it('comes in pages of exactly n, and Link leads through all of them', async () => {
    for (const n of [1, 3, 5, 9, 10, 11]) {
      const pages: string[][] = []
      let next: string | null = withQuery(path, { n: String(n) })
      while (next !== null) {
        const reply: Reply = await client.request('GET', next)
        expectStatus(reply, 200)
        pages.push((parseJson(reply) as { tags: string[] }).tags)
        next = nextPage(reply)
      }
      assert.deepEqual(pages.flat(), tags)
      assert.equal(pages.length, Math.ceil(tags.length / n))
      for (const page of pages.slice(0, -1)) assert.equal(page.length, n)
    }
  })

  it('with n=0 is empty and has no Link', async () => {
    assert.deepEqual(await list({ n: '0' }), { tags: [], next: null })
    assert.deepEqual(await list({ n: '0', last: 'A' }), { tags: [], next: null })
  })

  it('begins after last, whether or not that is a tag', async () => {
    assert.deepEqual(await list({ last: 'A' }), { tags: ['Z', '_', 'a', 'a.b', 'z'], next: null })
    assert.deepEqual(await list({ last: 'B' }), { tags: ['Z', '_', 'a', 'a.b', 'z'], next: null })
    assert.deepEqual(await list({ last: 'z' }), { tags: [], next: null })
    const page = await list({ last: 'A', n: '2' })
    assert.deepEqual(page.tags, ['Z', '_'])
    assert.ok(page.next !== null)
  })

  it('refuses an n that is no count', async () => {
    for (const n of ['-1', 'x', '1.5', '1e3', ' 1']) {
      expectError(await client.request('GET', withQuery(path, { n })), 400, 'UNSUPPORTED')
    }
  })

  it('forgets a tag that is deleted', async () => {
    expectStatus(await client.request('DELETE', `/v2/${repository}/manifests/Z`), 202)
    assert.deepEqual((await list({ last: 'A', n: '1' })).tags, ['_'])
  })
}

function defineCatalog(registry: Registry, { namespace, client }: Project): void {
  const names = ['a', 'b/c', 'b/c/d', 'z-9'].map((path) => `${namespace}/cat/${path}`)
  const list = async (
    from: Client,
    parameters: Record<string, string>,
  ): Promise<[string[], string | null]> => {
    const reply = await from.request('GET', withQuery('/v2/_catalog', parameters))
    expectStatus(reply, 200)
    return [(parseJson(reply) as { repositories: string[] }).repositories, nextPage(reply)]
  }

  it('asks for a scope of its own', async () => {
    const reply = await registry.clientOf(null).request('GET', '/v2/_catalog')
    expectError(reply, 401, 'UNAUTHORIZED')
    assert.match(String(reply.headers['www-authenticate']), /scope="registry:catalog:\*"/)
  })

  it('lists what the caller may pull, in pages', async () => {
    for (const repository of names) {
      const manifest = await pushImage({ client, repository, isDev: true })
      await pushManifest({ client, repository, isDev: true }, manifest, 'v1')
    }
    const before = `${namespace}/cat/`
    const found: string[] = []
    let next: string | null = withQuery('/v2/_catalog', { n: '1', last: before })
    while (next !== null && found.length < names.length) {
      const reply: Reply = await client.request('GET', next)
      const page = (parseJson(reply) as { repositories: string[] }).repositories
      assert.equal(page.length, 1)
      found.push(...page)
      next = nextPage(reply)
    }
    assert.deepEqual(found, names)
    assert.deepEqual((await list(client, { last: before, n: '3' }))[0], names.slice(0, 3))
    assert.deepEqual(await list(client, { n: '0' }), [[], null])
    assert.deepEqual(await list(client, { last: `${namespace}/zzz` }), [[], null])
  })

  it('shows nothing of another project', async () => {
    const other = await registry.openProject(`${namespace}-other`)
    assert.deepEqual(await list(other.client, {}), [[], null])
  })
}

async function pushImage(target: Target): Promise<Manifest> {
  const set = createDataSet('lists')
  addImage(set, { layers: 1 })
  for (const [digest, content] of set.blobs) await pushPostOnly(target, { digest, content })
  return set.manifests[0] as Manifest
}
