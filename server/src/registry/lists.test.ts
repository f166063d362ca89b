import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { formatReferrersTag } from '@berth/oci/referrers'
import { OCI_IMAGE_INDEX } from '@berth/oci/media-type'
import { CATALOG_STEP_ROWS } from './limits.ts'
import {
  describeContent,
  imageIndex,
  imageManifest,
  pushBlob,
  pushImage,
  putManifest,
} from './test-content.ts'
import { basic, type CallAnswer, openTestRegion, type TestRegion } from './test-region.ts'

let region: TestRegion
before(async () => {
  region = await openTestRegion()
  await region.createProject('acme')
  await region.createKey('acme')
})
after(() => region.close())

/** The target of the Link header to the next page, or null. */
function nextOf(answer: CallAnswer): string | null {
  const { link } = answer.headers
  if (link === undefined) return null
  const target = /^<(\/[^>]+)>; rel="next"$/.exec(String(link))?.[1]
  assert.ok(target, `Link is ${String(link)}`)
  return target
}

/** Follows Links to the end; answers the pages. */
async function follow(path: string, read: (answer: CallAnswer) => string[]): Promise<string[][]> {
  const pages: string[][] = []
  for (let next: string | null = path; next !== null; ) {
    const answer = await region.call('GET', next)
    assert.equal(answer.status, 200)
    pages.push(read(answer))
    next = nextOf(answer)
    assert.ok(pages.length < 100, 'the pages have no end')
  }
  return pages
}

describe('the tag list', () => {
  const TAGS = ['1.10', '1.9', 'A', 'Z', '_x', 'a', 'a-b', 'a.b', 'z']
  const tagsOf = (answer: CallAnswer): string[] => answer.json().tags

  before(async () => {
    const { digest, ...image } = await pushImage(region, 'acme/tags')
    const query = TAGS.map((tag) => `tag=${tag}`).join('&')
    await putManifest(region, 'acme/tags', `${digest}?${query}`, { digest, ...image })
  })

  it('is in byte order', async () => {
    const answer = await region.call('GET', '/v2/acme/tags/tags/list')
    assert.deepEqual(answer.json(), { name: 'acme/tags', tags: TAGS })
    assert.equal(nextOf(answer), null)
  })

  it('is paged by n, last and Link', async () => {
    for (const n of [1, 2, 3, TAGS.length, 50]) {
      const pages = await follow(`/v2/acme/tags/tags/list?n=${n}`, tagsOf)
      assert.deepEqual(pages.flat(), TAGS)
      for (const page of pages) assert.ok(page.length <= n)
      assert.equal(pages.length, Math.ceil(TAGS.length / n))
    }
    for (const [index, tag] of TAGS.entries()) {
      const answer = await region.call('GET', `/v2/acme/tags/tags/list?last=${tag}`)
      assert.deepEqual(tagsOf(answer), TAGS.slice(index + 1))
    }
    const between = await region.call('GET', '/v2/acme/tags/tags/list?last=Q&n=2')
    assert.deepEqual(tagsOf(between), ['Z', '_x'])
  })

  it('is empty without Link for n=0', async () => {
    const answer = await region.call('GET', '/v2/acme/tags/tags/list?n=0')
    assert.deepEqual(tagsOf(answer), [])
    assert.equal(nextOf(answer), null)
  })

  it('is empty for a repository with only blobs, and 404 for none', async () => {
    await pushBlob(region, 'acme/blobsonly')
    assert.deepEqual(tagsOf(await region.call('GET', '/v2/acme/blobsonly/tags/list')), [])
    assert.equal((await region.call('GET', '/v2/acme/none/tags/list')).code(), 'NAME_UNKNOWN')
  })

  it('has headers only for HEAD', async () => {
    const head = await region.call('HEAD', '/v2/acme/tags/tags/list')
    const get = await region.call('GET', '/v2/acme/tags/tags/list')
    assert.equal(head.headers['content-length'], String(get.body.byteLength))
    assert.equal(head.body.byteLength, 0)
  })
})

describe('the catalog', () => {
  const namesOf = (answer: CallAnswer): string[] => answer.json().repositories
  const NAMES = ['many/a', 'many/a/b', 'many/team-a/x', 'many/team-a/y', 'many/team-b/x', 'many/z']
  let all: string

  before(async () => {
    await region.createProject('many')
    all = basic(await region.createKey('many'))
    for (const name of NAMES) await pushBlob(region, name, Buffer.from(name), { authorization: all })
  })

  it('lists what the key may pull, paged', async () => {
    await region.createKey('many')
    for (const n of [1, 2, 4, 6, 100]) {
      assert.deepEqual((await follow(`/v2/_catalog?n=${n}`, namesOf)).flat(), NAMES)
    }
    assert.deepEqual(namesOf(await region.call('GET', '/v2/_catalog?last=many/team-a/x')), NAMES.slice(3))
    assert.deepEqual(namesOf(await region.call('GET', '/v2/_catalog?last=aaa/x')), NAMES)
    assert.deepEqual(namesOf(await region.call('GET', '/v2/_catalog?last=zzz/x')), [])
    assert.deepEqual(namesOf(await region.call('GET', '/v2/_catalog?n=0')), [])

    await region.createKey('many', { repositories: ['team-a/*', 'z'] })
    assert.deepEqual((await follow('/v2/_catalog?n=1', namesOf)).flat(), [
      'many/team-a/x',
      'many/team-a/y',
      'many/z',
    ])
  })

  it('finds the few that a narrow key may see among many', async () => {
    const path = (index: number) => `crowd/r${String(index).padStart(5, '0')}`
    for (let index = 0; index < CATALOG_STEP_ROWS + 20; index += 1) {
      await pushBlob(region, `many/${path(index)}`, Buffer.alloc(0), { authorization: all })
    }
    await region.createKey('many', { repositories: ['a', `crowd/r00510`, 'z'] })
    const names = (await follow('/v2/_catalog?n=2', namesOf)).flat()
    assert.deepEqual(names, ['many/a', 'many/crowd/r00510', 'many/z'])
  })

  it('is for those who may see it', async () => {
    const anonymous = await region.call('GET', '/v2/_catalog', { authorization: null })
    assert.equal(anonymous.status, 401)
    assert.match(String(anonymous.headers['www-authenticate']), /scope="registry:catalog:\*"/)
    await region.createKey('many', { actions: ['push'] })
    assert.equal((await region.call('GET', '/v2/_catalog')).code(), 'DENIED')
    await region.createKey('acme')
  })
})

describe('referrers', () => {
  const read = (answer: CallAnswer): string[] =>
    answer.json().manifests.map((entry: { digest: string }) => entry.digest)

  it('of nothing are an empty index', async () => {
    const { digest } = describeContent(Buffer.from('x'), '')
    for (const repository of ['acme/never', 'acme/tags']) {
      const answer = await region.call('GET', `/v2/${repository}/referrers/${digest}`)
      assert.equal(answer.status, 200)
      assert.equal(answer.headers['content-type'], OCI_IMAGE_INDEX)
      assert.deepEqual(answer.json(), { schemaVersion: 2, mediaType: OCI_IMAGE_INDEX, manifests: [] })
    }
  })

  it('are listed with type, size and annotations, filtered and paged', async () => {
    const subject = await pushImage(region, 'acme/ref', 'v1')
    const path = `/v2/acme/ref/referrers/${subject.digest}`
    const typed = await pushImage(region, 'acme/ref', undefined, {
      artifactType: 'application/vnd.sbom+json',
      subject: subject.descriptor,
      annotations: { a: 'b' },
    })
    const untyped = await pushImage(region, 'acme/ref', 'sig', { subject: subject.descriptor })
    const index = imageIndex([], { subject: subject.descriptor })
    const put = await putManifest(region, 'acme/ref', index.digest, index)
    assert.equal(put.headers['oci-subject'], subject.digest)

    const answer = await region.call('GET', path)
    const entry = ({ descriptor }: typeof index, more: object) => ({ ...descriptor, ...more })
    const expected = [
      entry(typed, { artifactType: 'application/vnd.sbom+json', annotations: { a: 'b' } }),
      entry(untyped, { artifactType: 'application/vnd.oci.empty.v1+json' }),
      entry(index, {}),
    ].toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
    assert.deepEqual(answer.json().manifests, expected)

    for (const n of [1, 2]) {
      const pages = await follow(`${path}?n=${n}`, read)
      assert.deepEqual(
        pages.flat(),
        expected.map((one) => one.digest),
      )
      assert.ok(pages.every((page) => page.length <= n))
    }
    const filtered = await region.call('GET', `${path}?artifactType=application/vnd.sbom%2Bjson`)
    assert.equal(filtered.headers['oci-filters-applied'], 'artifactType')
    assert.deepEqual(read(filtered), [typed.digest])

    await region.call('DELETE', `/v2/acme/ref/manifests/${typed.digest}`)
    assert.ok(!read(await region.call('GET', path)).includes(typed.digest))
  })

  it('fill several steps and pages', async () => {
    const subject = await pushImage(region, 'acme/refs', 'v1')
    const config = await pushBlob(region, 'acme/refs')
    const digests: string[] = []
    for (let index = 0; index < 25; index += 1) {
      const manifest = imageManifest(config, [], {
        subject: subject.descriptor,
        annotations: { index: `${index}` },
      })
      assert.equal((await putManifest(region, 'acme/refs', manifest.digest, manifest)).status, 201)
      digests.push(manifest.digest)
    }
    for (const n of [3, 10, 11, 25, 26]) {
      const pages = await follow(`/v2/acme/refs/referrers/${subject.digest}?n=${n}`, read)
      assert.deepEqual(pages.flat(), digests.toSorted())
    }
  })

  it('end a page early when annotations are large', async () => {
    const subject = await pushImage(region, 'acme/fat', 'v1')
    const config = await pushBlob(region, 'acme/fat')
    for (let index = 0; index < 4; index += 1) {
      const annotations = { index: `${index}`, pad: 'x'.repeat(2 * 1024 * 1024) }
      const manifest = imageManifest(config, [], { subject: subject.descriptor, annotations })
      assert.equal((await putManifest(region, 'acme/fat', manifest.digest, manifest)).status, 201)
    }
    const pages = await follow(`/v2/acme/fat/referrers/${subject.digest}`, read)
    // Two of them are more than a page takes, and what it does not take is not parsed either.
    assert.deepEqual(
      pages.map((page) => page.length),
      [1, 1, 1, 1],
    )
  })

  it('include what an old client listed under the referrers tag', async () => {
    const subject = await pushImage(region, 'acme/old', 'v1')
    const recorded = await pushImage(region, 'acme/old', undefined, { subject: subject.descriptor })
    const unrecorded = await pushImage(region, 'acme/old')
    const listed = [recorded, unrecorded].map((image) => ({
      ...image,
      descriptor: { ...image.descriptor, artifactType: 'application/x.old' },
    }))
    const index = imageIndex(listed)
    assert.equal(
      (await putManifest(region, 'acme/old', formatReferrersTag(subject.digest), index)).status,
      201,
    )
    const path = `/v2/acme/old/referrers/${subject.digest}`
    const both = [recorded.digest, unrecorded.digest].toSorted()
    assert.deepEqual(read(await region.call('GET', path)), both)
    assert.deepEqual((await follow(`${path}?n=1`, read)).flat(), both)
    assert.deepEqual(read(await region.call('GET', `${path}?artifactType=application/x.old`)), [
      unrecorded.digest,
    ])
  })
})

describe('?ns=', () => {
  it('is answered for the own host only', async () => {
    const own = await region.call('GET', `/v2/acme/tags/tags/list?ns=${region.runtime.region.host}`)
    assert.equal(own.headers['oci-namespace'], region.runtime.region.host)
    const foreign = await region.call('GET', '/v2/acme/tags/tags/list?ns=docker.io')
    assert.equal(foreign.status, 200)
    assert.equal(foreign.headers['oci-namespace'], undefined)
  })
})
