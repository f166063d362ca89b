import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { digestOf } from '@berth/oci/digest'
import {
  DOCKER_MANIFEST,
  OCI_IMAGE_INDEX,
  OCI_IMAGE_MANIFEST,
  OCI_NONDISTRIBUTABLE_TAR_GZIP,
} from '@berth/oci/media-type'
import { undeleteManifest } from '../metastore/queries/undelete-manifest.ts'
import {
  describeContent,
  imageIndex,
  imageManifest,
  pushBlob,
  pushImage,
  putManifest,
} from './test-content.ts'
import { openTestRegion, type TestRegion } from './test-region.ts'

const WEB = '/v2/acme/web/manifests'
const MISSING = describeContent(Buffer.from('not pushed'), 'application/octet-stream')

let region: TestRegion
let projectId: string
before(async () => {
  region = await openTestRegion()
  projectId = await region.createProject('acme')
  await region.createKey('acme')
})
after(() => region.close())

async function history(path: string, tag: string) {
  return region.runtime.db.reader
    .selectFrom('tag_history')
    .innerJoin('repository', 'repository.id', 'tag_history.repository_id')
    .select(['tag_history.version', 'tag_history.digest'])
    .where('repository.project_id', '=', projectId)
    .where('repository.path', '=', path)
    .where('tag_history.tag', '=', tag)
    .orderBy('tag_history.version')
    .execute()
}

describe('a manifest', () => {
  it('is served as it was pushed, by tag and by digest', async () => {
    const config = await pushBlob(region, 'acme/web')
    const layer = await pushBlob(region, 'acme/web')
    for (const mediaType of [OCI_IMAGE_MANIFEST, DOCKER_MANIFEST]) {
      const more = { annotations: { 'x.y': 'z' }, custom: { kept: [1, 2] } }
      const manifest = imageManifest(config, [layer], mediaType === DOCKER_MANIFEST ? {} : more, mediaType)
      const put = await putManifest(region, 'acme/web', 'v1', manifest)
      assert.equal(put.status, 201, put.body.toString())
      assert.equal(put.headers.location, `${WEB}/${manifest.digest}`)
      assert.equal(put.headers['docker-content-digest'], manifest.digest)
      assert.equal(put.headers['oci-tag'], 'v1')
      for (const reference of ['v1', manifest.digest]) {
        for (const method of ['GET', 'HEAD']) {
          const answer = await region.call(method, `${WEB}/${reference}`)
          assert.equal(answer.status, 200)
          assert.equal(answer.headers['content-type'], mediaType)
          assert.equal(answer.headers['content-length'], String(manifest.content.byteLength))
          assert.equal(answer.headers['docker-content-digest'], manifest.digest)
          assert.equal(answer.headers.etag, `"${manifest.digest}"`)
          if (method === 'GET') assert.ok(answer.body.equals(manifest.content))
          else assert.equal(answer.body.byteLength, 0)
        }
      }
    }
  })

  it('is served whatever Accept says, and not at all to whom has it', async () => {
    const { digest } = await pushImage(region, 'acme/web', 'accepted')
    for (const Accept of ['*/*', OCI_IMAGE_INDEX, `${OCI_IMAGE_MANIFEST}, text/html;q=0.1`]) {
      assert.equal((await region.call('GET', `${WEB}/accepted`, { headers: { Accept } })).status, 200)
    }
    const headers = { 'If-None-Match': `"${digest}"` }
    for (const method of ['GET', 'HEAD']) {
      const answer = await region.call(method, `${WEB}/accepted`, { headers })
      assert.equal(answer.status, 304)
      assert.equal(answer.body.byteLength, 0)
    }
  })

  it('can be pushed by sha512, with its parts', async () => {
    const image = await pushImage(region, 'acme/web')
    const digest = digestOf('sha512', image.content)
    const put = await putManifest(region, 'acme/web', `${digest}?tag=by512`, image)
    assert.equal(put.status, 201)
    assert.equal(put.headers['docker-content-digest'], digest)
    assert.equal((await region.call('GET', `${WEB}/by512`)).headers['docker-content-digest'], digest)
    assert.ok((await region.call('GET', `${WEB}/${digest}`)).body.equals(image.content))
  })

  it('takes its type from the document when there is no Content-Type', async () => {
    const image = await pushImage(region, 'acme/web')
    const put = await region.call('PUT', `${WEB}/typed`, { body: image.content })
    assert.equal(put.status, 201, put.body.toString())
    assert.equal((await region.call('HEAD', `${WEB}/typed`)).headers['content-type'], OCI_IMAGE_MANIFEST)
  })

  it('is refused when it is not what it says', async () => {
    const { content, digest, config, layer } = await pushImage(region, 'acme/web')
    const other = digestOf('sha256', Buffer.from('other'))
    const both = imageManifest(config, [layer], { manifests: [] })
    const index = imageIndex([])
    const cases: [what: string, reference: string, body: Buffer, type: string, expected: string][] = [
      ['another digest', other, content, OCI_IMAGE_MANIFEST, '400 DIGEST_INVALID'],
      ['another type', 'x', content, OCI_IMAGE_INDEX, '400 MANIFEST_INVALID'],
      ['an index as an image', 'x', index.content, OCI_IMAGE_MANIFEST, '400 MANIFEST_INVALID'],
      ['no manifest type', 'x', content, 'application/json', '400 MANIFEST_INVALID'],
      ['both at once', 'x', both.content, OCI_IMAGE_MANIFEST, '400 MANIFEST_INVALID'],
      ['no JSON', 'x', Buffer.from('{'), OCI_IMAGE_MANIFEST, '400 MANIFEST_INVALID'],
      ['nothing', 'x', Buffer.alloc(0), OCI_IMAGE_MANIFEST, '400 MANIFEST_INVALID'],
    ]
    for (const [what, reference, body, type, expected] of cases) {
      const headers = { 'Content-Type': type }
      const answer = await region.call('PUT', `${WEB}/${reference}`, { body, headers })
      assert.equal(`${answer.status} ${answer.code()}`, expected, what)
    }
    assert.equal((await region.call('HEAD', `${WEB}/x`)).status, 404)
    assert.equal((await region.call('HEAD', `${WEB}/${digest}`)).status, 200)
  })

  it('may have 4 MiB and not more, announced or not', async () => {
    const config = await pushBlob(region, 'acme/web')
    const sized = (sizeBytes: number) => {
      const empty = imageManifest(config, [], { annotations: { pad: '' } })
      const pad = 'x'.repeat(sizeBytes - empty.content.byteLength)
      return imageManifest(config, [], { annotations: { pad } })
    }
    const largest = sized(4 * 1024 * 1024)
    assert.equal(largest.content.byteLength, 4 * 1024 * 1024)
    assert.equal((await putManifest(region, 'acme/web', 'large', largest)).status, 201)
    assert.ok((await region.call('GET', `${WEB}/large`)).body.equals(largest.content))
    for (const chunked of [false, true]) {
      const answer = await putManifest(region, 'acme/web', 'large', sized(4 * 1024 * 1024 + 1), { chunked })
      assert.equal(`${answer.status} ${answer.code()}`, '413 MANIFEST_INVALID')
    }
  })

  it('waits for memory when many large ones come at once, and gives it back whatever becomes of it', async () => {
    const largest = imageManifest(MISSING, [MISSING], { annotations: { pad: 'x'.repeat(4_000_000) } })
    // Each is refused at its end, and all of them together are more than twice what is held at once.
    const pushes = Array.from({ length: 40 }, () => putManifest(region, 'acme/web', 'many', largest))
    for (const { status, body } of await Promise.all(pushes)) {
      assert.equal(status, 404, body.toString())
    }
  })

  it('needs everything that it refers to, in this repository and with these sizes', async () => {
    const config = await pushBlob(region, 'acme/web')
    const elsewhere = await pushBlob(region, 'acme/api', randomBytes(100))
    const refused = await putManifest(region, 'acme/web', 'x', imageManifest(config, [MISSING, elsewhere]))
    assert.equal(`${refused.status} ${refused.code()}`, '404 MANIFEST_BLOB_UNKNOWN')
    assert.deepEqual(refused.json().errors[0].detail, { digests: [MISSING.digest, elsewhere.digest] })

    const lying = { ...config, descriptor: { ...config.descriptor, size: 1 } }
    const wrongSize = await putManifest(region, 'acme/web', 'x', imageManifest(lying, []))
    assert.equal(`${wrongSize.status} ${wrongSize.code()}`, '400 SIZE_INVALID')

    const child = imageManifest(config, [])
    const noChild = await putManifest(region, 'acme/web', 'x', imageIndex([child]))
    assert.equal(`${noChild.status} ${noChild.code()}`, '404 MANIFEST_BLOB_UNKNOWN')
    const inNewRepository = await putManifest(region, 'acme/fresh', 'x', imageIndex([child]))
    assert.equal(inNewRepository.status, 404)
    assert.equal((await region.call('GET', '/v2/acme/fresh/tags/list')).code(), 'NAME_UNKNOWN')
  })

  it('may miss its subject and its non-distributable layers', async () => {
    const config = await pushBlob(region, 'acme/web')
    const foreign = {
      ...MISSING,
      descriptor: { ...MISSING.descriptor, mediaType: OCI_NONDISTRIBUTABLE_TAR_GZIP },
    }
    const subject = imageManifest(config, []).descriptor
    const manifest = imageManifest(config, [foreign], { subject })
    const answer = await putManifest(region, 'acme/web', 'missing', manifest)
    assert.equal(answer.status, 201, answer.body.toString())
    assert.equal(answer.headers['oci-subject'], subject.digest)
  })

  it('may be sparse where the project allows it', async () => {
    await region.createProject('sparse', { allowSparseIndexes: true })
    await region.createKey('sparse')
    const config = await pushBlob(region, 'sparse/web')
    const index = imageIndex([imageManifest(config, [])])
    assert.equal((await putManifest(region, 'sparse/web', 'x', index)).status, 201)
    await region.createKey('acme')
  })

  it('takes many tags at once', async () => {
    const { digest, ...image } = await pushImage(region, 'acme/web')
    const tags = Array.from({ length: 100 }, (_, index) => `t${index}`)
    const query = tags.map((tag) => `tag=${tag}`).join('&')
    const put = await putManifest(region, 'acme/web', `${digest}?${query}`, { digest, ...image })
    assert.equal(put.status, 201, put.body.toString())
    assert.deepEqual(String(put.headers['oci-tag']).split(', ').toSorted(), tags.toSorted())
    for (const tag of ['t0', 't42', 't99']) {
      assert.equal((await region.call('HEAD', `${WEB}/${tag}`)).headers['docker-content-digest'], digest)
    }
  })
})

describe('tags', () => {
  it('have a history without gaps, over deletions too', async () => {
    const first = await pushImage(region, 'acme/web', 'moving')
    const second = await pushImage(region, 'acme/web', 'moving')
    await putManifest(region, 'acme/web', 'moving', second)
    assert.equal((await region.call('DELETE', `${WEB}/moving`)).status, 202)
    assert.equal((await region.call('GET', `${WEB}/moving`)).code(), 'MANIFEST_UNKNOWN')
    assert.equal((await region.call('DELETE', `${WEB}/moving`)).code(), 'MANIFEST_UNKNOWN')
    assert.equal((await region.call('GET', `${WEB}/${second.digest}`)).status, 200, 'the manifest stays')
    await putManifest(region, 'acme/web', 'moving', first)
    assert.deepEqual(await history('web', 'moving'), [
      { version: 1, digest: first.digest },
      { version: 2, digest: second.digest },
      { version: 3, digest: second.digest },
      { version: 4, digest: null },
      { version: 5, digest: first.digest },
    ])
  })

  it('pushed at the same time behave as if one after the other', async () => {
    const images = await Promise.all(Array.from({ length: 12 }, () => pushImage(region, 'acme/web')))
    const puts = await Promise.all(images.map((image) => putManifest(region, 'acme/web', 'raced', image)))
    for (const put of puts) assert.equal(put.status, 201)
    const rows = await history('web', 'raced')
    assert.deepEqual(
      rows.map((row) => row.version),
      images.map((_, index) => index + 1),
    )
    assert.deepEqual(new Set(rows.map((row) => row.digest)), new Set(images.map((image) => image.digest)))
    const head = await region.call('HEAD', `${WEB}/raced`)
    assert.equal(head.headers['docker-content-digest'], rows.at(-1)?.digest)
  })
})

describe('deleting a manifest', () => {
  it('removes its tags and is refused while an index lists it', async () => {
    const amd = await pushImage(region, 'acme/del', 'amd')
    const arm = await pushImage(region, 'acme/del', 'arm')
    const index = imageIndex([amd, arm])
    assert.equal((await putManifest(region, 'acme/del', 'multi', index)).status, 201)
    assert.equal((await putManifest(region, 'acme/del', 'latest', index)).status, 201)
    const path = '/v2/acme/del/manifests'
    const refused = await region.call('DELETE', `${path}/${amd.digest}`)
    assert.equal(`${refused.status} ${refused.code()}`, '403 DENIED')
    assert.match(refused.body.toString(), new RegExp(index.digest))

    assert.equal((await region.call('DELETE', `${path}/${index.digest}`)).status, 202)
    for (const reference of ['multi', 'latest', index.digest]) {
      assert.equal((await region.call('HEAD', `${path}/${reference}`)).status, 404)
    }
    assert.equal((await region.call('DELETE', `${path}/${index.digest}`)).code(), 'MANIFEST_UNKNOWN')
    assert.deepEqual((await history('del', 'multi')).at(-1), { version: 2, digest: null })
    assert.equal((await region.call('DELETE', `${path}/${amd.digest}`)).status, 202)
    assert.deepEqual((await region.call('GET', '/v2/acme/del/tags/list')).json().tags, ['arm'])
  })

  it('is undone by a push of the same content', async () => {
    const image = await pushImage(region, 'acme/back', 'v1')
    const used = () => usedBytes()
    const before = await used()
    await region.call('DELETE', `/v2/acme/back/manifests/${image.digest}`)
    const { content, config, layer } = image
    const imageBytes = content.byteLength + config.content.byteLength + layer.content.byteLength
    assert.equal(await used(), before - imageBytes, 'the quota is given back at once')
    assert.equal((await putManifest(region, 'acme/back', 'v1', image)).status, 201)
    assert.equal(await used(), before)
    assert.ok((await region.call('GET', '/v2/acme/back/manifests/v1')).body.equals(image.content))
  })

  it('can be undone for as long as what it refers to is there', async () => {
    const image = await pushImage(region, 'acme/undo', 'v1')
    const path = '/v2/acme/undo'
    const undelete = () =>
      region.runtime.db.run(undeleteManifest, {
        guard: null,
        projectId,
        actor: 'operator',
        requestId: 'test',
        nowMs: region.runtime.clock.nowMs(),
        path: 'undo',
        digest: image.digest,
        tags: ['v1'],
        immutable: [],
      })
    assert.deepEqual(await undelete(), { ok: false, reason: 'not_in_trash' })
    await region.call('DELETE', `${path}/manifests/${image.digest}`)
    assert.equal((await undelete()).ok, true)
    assert.equal((await region.call('GET', `${path}/manifests/v1`)).status, 200)

    await region.call('DELETE', `${path}/manifests/${image.digest}`)
    assert.equal((await region.call('DELETE', `${path}/blobs/${image.layer.digest}`)).status, 202)
    assert.deepEqual(await undelete(), { ok: false, reason: 'incomplete', digests: [image.layer.digest] })
    assert.equal((await region.call('GET', `${path}/manifests/v1`)).status, 404)
  })

  it('answers 404 for what is not there', async () => {
    for (const [path, code] of [
      [`/v2/acme/web/manifests/${MISSING.digest}`, 'MANIFEST_UNKNOWN'],
      ['/v2/acme/web/manifests/nothing', 'MANIFEST_UNKNOWN'],
      [`/v2/acme/nowhere/manifests/${MISSING.digest}`, 'NAME_UNKNOWN'],
      ['/v2/acme/nowhere/manifests/v1', 'NAME_UNKNOWN'],
    ]) {
      const answer = await region.call('DELETE', path ?? '')
      assert.equal(`${answer.status} ${answer.code()}`, `404 ${code}`)
    }
  })
})

describe('each change', () => {
  it('writes one audit event', async () => {
    const reader = region.runtime.db.reader
    const { id } = await reader
      .selectFrom('audit_event')
      .select('id')
      .orderBy('id', 'desc')
      .executeTakeFirstOrThrow()
    const image = await pushImage(region, 'acme/audited', 'v1')
    await region.call('DELETE', '/v2/acme/audited/manifests/v1')
    await region.call('DELETE', `/v2/acme/audited/manifests/${image.digest}`)
    await region.call('DELETE', `/v2/acme/audited/blobs/${image.layer.digest}`)
    await region.call(
      'POST',
      `/v2/acme/audited2/blobs/uploads/?mount=${image.config.digest}&from=acme/audited`,
    )
    const events = await reader
      .selectFrom('audit_event')
      .selectAll()
      .where('id', '>', id)
      .orderBy('id')
      .execute()
    assert.deepEqual(
      events.map((event) => `${event.action} ${event.target}`),
      [
        `blob.push audited@${image.config.digest}`,
        `blob.push audited@${image.layer.digest}`,
        `manifest.push audited@${image.digest}`,
        'tag.delete audited:v1',
        `manifest.delete audited@${image.digest}`,
        `blob.delete audited@${image.layer.digest}`,
        `blob.mount audited2@${image.config.digest}`,
      ],
    )
    for (const event of events) {
      assert.equal(event.project_id, projectId)
      assert.match(event.request_id, /^[0-9a-f-]{36}$/)
    }
  })
})

async function usedBytes(): Promise<number> {
  const query = region.runtime.db.reader.selectFrom('project_usage').select('used_bytes')
  return (await query.where('project_id', '=', projectId).executeTakeFirstOrThrow()).used_bytes
}
