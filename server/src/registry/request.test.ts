import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OciError } from '@berth/oci/errors'
import { parseRequest } from './request.ts'

const SHA256 = `sha256:${'a'.repeat(64)}`
const SHA512 = `sha512:${'b'.repeat(128)}`
const UUID = '01234567-89ab-cdef-0123-456789abcdef'

const ACCEPTED: [method: string, target: string, expected: object][] = [
  ['GET', '/v2/', { kind: 'ping' }],
  ['HEAD', '/v2', { kind: 'ping' }],
  ['GET', 'http://elsewhere/v2/', { kind: 'ping' }],
  ['GET', '/v2/_catalog', { kind: 'catalog', page: { limit: 1000, last: null } }],
  ['GET', '/v2/_catalog?n=5&last=acme/web', { kind: 'catalog', page: { limit: 5, last: 'acme/web' } }],
  ['POST', '/auth/token', { kind: 'token', method: 'POST' }],
  ['GET', '/v2/acme/web/tags/list?n=0', { kind: 'tag-list', page: { limit: 0, last: null } }],
  ['GET', '/v2/acme/web/tags/list?n=99999', { kind: 'tag-list', page: { limit: 1000, last: null } }],
  ['GET', '/v2/acme/web/manifests/v1', { kind: 'manifest-get', reference: { kind: 'tag', tag: 'v1' } }],
  [
    'GET',
    `/v2/acme/web/manifests/${SHA512}`,
    { kind: 'manifest-get', reference: { kind: 'digest', digest: SHA512 } },
  ],
  [
    'GET',
    `/v2/acme/web/manifests/${SHA256.replace(':', '%3A')}`,
    { kind: 'manifest-get', reference: { kind: 'digest', digest: SHA256 } },
  ],
  [
    'PUT',
    `/v2/acme/web/manifests/${SHA256}?tag=a&tag=b&tag=a`,
    { kind: 'manifest-put', reference: { kind: 'digest', digest: SHA256 }, tags: ['a', 'b'] },
  ],
  ['DELETE', '/v2/acme/web/manifests/v1', { kind: 'manifest-delete', reference: { kind: 'tag', tag: 'v1' } }],
  ['HEAD', `/v2/acme/web/blobs/${SHA256}`, { kind: 'blob-get', digest: SHA256 }],
  ['DELETE', `/v2/acme/web/blobs/${SHA256}`, { kind: 'blob-delete', digest: SHA256 }],
  [
    'POST',
    '/v2/acme/web/blobs/uploads/',
    { kind: 'upload-start', digest: null, algorithm: 'sha256', mount: null, from: null },
  ],
  [
    'POST',
    '/v2/acme/web/blobs/uploads?digest-algorithm=sha512',
    { kind: 'upload-start', digest: null, algorithm: 'sha512', mount: null, from: null },
  ],
  [
    'POST',
    `/v2/acme/web/blobs/uploads/?mount=${SHA256}&from=acme/api`,
    {
      kind: 'upload-start',
      digest: null,
      algorithm: 'sha256',
      mount: SHA256,
      from: { name: 'acme/api', namespace: 'acme', path: 'api' },
    },
  ],
  [
    'POST',
    `/v2/acme/web/blobs/uploads/?digest=${SHA512}`,
    { kind: 'upload-start', digest: SHA512, algorithm: 'sha512', mount: null, from: null },
  ],
  ['PATCH', `/v2/acme/web/blobs/uploads/${UUID}`, { kind: 'upload-patch', sessionId: UUID }],
  ['GET', `/v2/acme/web/blobs/uploads/${UUID}`, { kind: 'upload-status', sessionId: UUID }],
  ['DELETE', `/v2/acme/web/blobs/uploads/${UUID}`, { kind: 'upload-cancel', sessionId: UUID }],
  [
    'PUT',
    `/v2/acme/web/blobs/uploads/${UUID}?digest=${SHA256}`,
    { kind: 'upload-put', sessionId: UUID, digest: SHA256 },
  ],
  [
    'GET',
    `/v2/acme/web/referrers/${SHA256}?artifactType=application/x+json`,
    {
      kind: 'referrers',
      subject: SHA256,
      artifactType: 'application/x+json',
      page: { limit: 100, last: null },
    },
  ],
]

const REFUSED: [method: string, target: string, status: number, code: string][] = [
  ['GET', '/', 404, 'UNSUPPORTED'],
  ['GET', '/v1/', 404, 'UNSUPPORTED'],
  ['GET', '/v2/acme', 404, 'UNSUPPORTED'],
  ['GET', '/v2/acme/web/', 404, 'UNSUPPORTED'],
  ['GET', '/v2/acme/web/tags', 404, 'UNSUPPORTED'],
  ['GET', '/v2/acme/web/tags/list/', 404, 'UNSUPPORTED'],
  ['GET', '/v2/acme//web/tags/list', 400, 'NAME_INVALID'],
  ['GET', '//v2/acme/web/tags/list', 400, 'NAME_INVALID'],
  ['GET', '/v2/acme/../web/tags/list', 400, 'NAME_INVALID'],
  ['GET', '/v2/acme/%2e%2e/web/tags/list', 400, 'NAME_INVALID'],
  ['GET', '/v2/acme%2fweb/tags/list', 400, 'NAME_INVALID'],
  ['GET', '/v2/acme/web%00/tags/list', 400, 'NAME_INVALID'],
  ['GET', '/v2/acme/w%2565b/tags/list', 400, 'NAME_INVALID'],
  ['GET', '/v2/acme/web%ff/tags/list', 400, 'NAME_INVALID'],
  ['GET', '/v2/acme/web\\x/tags/list', 400, 'NAME_INVALID'],
  ['GET', '/v2/acme/Web/tags/list', 400, 'NAME_INVALID'],
  ['GET', '/v2/acme/web#x/tags/list', 400, 'NAME_INVALID'],
  ['GET', `/v2/acme/${'a'.repeat(252)}/tags/list`, 400, 'NAME_INVALID'],
  ['GET', `/v2/acme/${'a'.repeat(2000)}/tags/list`, 414, 'NAME_INVALID'],
  ['GET', `/v2/?x=${'a'.repeat(16_000)}`, 414, 'NAME_INVALID'],
  ['GET', 'v2/', 400, 'NAME_INVALID'],
  ['POST', '/v2/', 405, 'UNSUPPORTED'],
  ['OPTIONS', '/v2/acme/web/manifests/v1', 405, 'UNSUPPORTED'],
  ['PATCH', '/v2/acme/web/blobs/uploads/', 405, 'UNSUPPORTED'],
  ['GET', '/v2/acme/web/manifests/.bad', 400, 'MANIFEST_INVALID'],
  ['GET', '/v2/acme/web/manifests/sha256:short', 400, 'DIGEST_INVALID'],
  ['PUT', '/v2/acme/web/manifests/v1?tag=v2', 400, 'UNSUPPORTED'],
  ['PUT', `/v2/acme/web/manifests/${SHA256}?tag=.x`, 400, 'MANIFEST_INVALID'],
  ['PUT', `/v2/acme/web/manifests/${SHA256}?${'tag=a&'.repeat(101)}`, 414, 'UNSUPPORTED'],
  ['GET', '/v2/acme/web/blobs/sha256:x', 400, 'DIGEST_INVALID'],
  ['POST', '/v2/acme/web/blobs/uploads/?digest=x', 400, 'DIGEST_INVALID'],
  ['POST', `/v2/acme/web/blobs/uploads/?digest=${SHA256}&digest=${SHA256}`, 400, 'UNSUPPORTED'],
  ['POST', `/v2/acme/web/blobs/uploads/?mount=${SHA256}&from=../x`, 400, 'NAME_INVALID'],
  ['POST', '/v2/acme/web/blobs/uploads/?digest-algorithm=md5', 400, 'DIGEST_INVALID'],
  ['PATCH', '/v2/acme/web/blobs/uploads/abc', 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['PUT', `/v2/acme/web/blobs/uploads/${UUID}`, 400, 'DIGEST_INVALID'],
  ['GET', '/v2/acme/web/tags/list?n=-1', 400, 'UNSUPPORTED'],
  ['GET', '/v2/acme/web/tags/list?n=1&n=2', 400, 'UNSUPPORTED'],
  ['GET', '/v2/_catalog?last=%00', 400, 'UNSUPPORTED'],
  ['GET', `/v2/acme/web/referrers/${SHA256}?artifactType=${'a'.repeat(256)}`, 400, 'UNSUPPORTED'],
  ['GET', '/v2/acme/web/referrers/latest', 400, 'DIGEST_INVALID'],
]

describe('parseRequest', () => {
  for (const [method, target, expected] of ACCEPTED) {
    it(`reads ${method} ${target.slice(0, 100)}`, () => {
      const { ns, ...request } = parseRequest(method, target)
      const rest: Record<string, unknown> = { ...request }
      const repository = 'repository' in request ? request.repository.name : null
      delete rest['repository']
      delete rest['query']
      assert.deepEqual(rest, expected)
      assert.equal(ns, null)
      if (repository !== null) assert.equal(repository, 'acme/web')
    })
  }

  for (const [method, target, status, code] of REFUSED) {
    it(`refuses ${method} ${target.slice(0, 100)}`, () => {
      assert.throws(
        () => parseRequest(method, target),
        (error: unknown) => {
          assert.ok(error instanceof OciError, String(error))
          assert.equal(`${error.status} ${error.code}`, `${status} ${code}`)
          return true
        },
      )
    })
  }

  it('says which methods a resource has', () => {
    assert.throws(
      () => parseRequest('POST', '/v2/acme/web/manifests/v1'),
      (error: unknown) => error instanceof OciError && error.headers['Allow'] === 'GET, HEAD, PUT, DELETE',
    )
  })

  it('finds the repository from the end of the path', () => {
    const names = [
      [`/v2/acme/blobs/uploads/manifests/v1`, 'acme/blobs/uploads'],
      [`/v2/acme/manifests/tags/list`, 'acme/manifests'],
      [`/v2/acme/tags/list/referrers/${SHA256}`, 'acme/tags/list'],
      [`/v2/acme/a/b/c/d/tags/list`, 'acme/a/b/c/d'],
    ]
    for (const [target, name] of names) {
      const request = parseRequest('GET', target ?? '')
      assert.equal('repository' in request && request.repository.name, name)
    }
  })

  it('splits a name into namespace and path', () => {
    const request = parseRequest('GET', '/v2/acme/web/api/tags/list?ns=x')
    assert.ok('repository' in request)
    assert.deepEqual(request.repository, { name: 'acme/web/api', namespace: 'acme', path: 'web/api' })
    assert.equal(request.ns, 'x')
    const single = parseRequest('GET', '/v2/acme/tags/list')
    assert.ok('repository' in single)
    assert.deepEqual(single.repository, { name: 'acme', namespace: 'acme', path: '' })
  })
})
