import { DIGEST_INVALID, NAME_INVALID, ofRegistry, type Row } from './row.ts'

const HEX = '0123456789abcdef'.repeat(4)
const UPLOAD_UNKNOWN = { status: 404, code: 'BLOB_UPLOAD_UNKNOWN' } as const

const TEXTS: readonly (readonly [what: string, digest: string])[] = [
  ['upper-case hex', `sha256:${HEX.toUpperCase()}`],
  ['one upper-case digit', `sha256:${HEX.slice(0, -1)}F`],
  ['63 digits', `sha256:${HEX.slice(1)}`],
  ['65 digits', `sha256:${HEX}0`],
  ['a letter beyond f', `sha256:${HEX.slice(1)}g`],
  ['no hex', 'sha256:'],
  ['no algorithm', `:${HEX}`],
  ['an upper-case algorithm', `SHA256:${HEX}`],
  ['sha512 with the length of sha256', `sha512:${HEX}`],
  ['sha256 with the length of sha512', `sha256:${HEX}${HEX}`],
  ['sha1', `sha1:${HEX.slice(0, 40)}`],
  ['md5', `md5:${HEX.slice(0, 32)}`],
  ['sha384', `sha384:${HEX}${HEX.slice(0, 32)}`],
  ['blake3', `blake3:${HEX}`],
  ['a multihash', `multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8`],
  ['two colons', `sha256:${HEX.slice(0, 32)}:${HEX.slice(33)}`],
  ['a hyphen for the colon and a colon', `sha256-${HEX}:x`],
  ['spaces around it', `%20sha256:${HEX}`],
  ['full-width digits', `sha256:${'%ef%bc%90'.repeat(64)}`],
  ['an object key of JavaScript', '__proto__:x'],
]

const DOTS: readonly (readonly [what: string, digest: string])[] = [
  ['a path behind it', `sha256:..%2f..%2fetc%2fpasswd`],
  ['NUL behind it', `sha256:${HEX}%00`],
]

/** Digests of every place that takes one. */
export const DIGESTS: readonly Row[] = [
  ...TEXTS.map(([what, text]) =>
    ofRegistry(`blob: ${what}`, { target: `/v2/acme/web/blobs/${text}` }, DIGEST_INVALID),
  ),
  ...DOTS.map(([what, text]) =>
    ofRegistry(`blob: ${what}`, { target: `/v2/acme/web/blobs/${text}` }, NAME_INVALID),
  ),
  ...TEXTS.slice(0, 12).map(([what, text]) =>
    ofRegistry(`manifest: ${what}`, { target: `/v2/acme/web/manifests/${text}` }, DIGEST_INVALID),
  ),
  ...TEXTS.slice(0, 4).map(([what, text]) =>
    ofRegistry(`referrers: ${what}`, { target: `/v2/acme/web/referrers/${text}` }, DIGEST_INVALID),
  ),
  ofRegistry('referrers: a tag', { target: '/v2/acme/web/referrers/latest' }, DIGEST_INVALID),
  ofRegistry('blob: a tag', { target: '/v2/acme/web/blobs/latest' }, DIGEST_INVALID),
  ofRegistry(
    'delete: a bad digest',
    { method: 'DELETE', target: '/v2/acme/web/blobs/sha256:x' },
    DIGEST_INVALID,
  ),
  ofRegistry(
    'HEAD: a bad digest has no body',
    { method: 'HEAD', target: '/v2/acme/web/blobs/sha256:x' },
    { status: 400, code: null },
  ),
  ofRegistry(
    'push: a bad digest',
    { method: 'PUT', target: '/v2/acme/web/manifests/sha256:baddigeststring', body: '{}' },
    DIGEST_INVALID,
  ),
  ofRegistry(
    'push: not the digest of the bytes',
    { method: 'PUT', target: `/v2/acme/web/manifests/sha256:${HEX}`, body: '{}' },
    { ...DIGEST_INVALID, message: /digest of the URL/ },
  ),
  ofRegistry(
    'upload at once: a bad digest',
    { method: 'POST', target: '/v2/acme/web/blobs/uploads/?digest=sha256:x', body: 'x' },
    DIGEST_INVALID,
  ),
  ofRegistry(
    'upload at once: not the digest of the bytes',
    { method: 'POST', target: `/v2/acme/web/blobs/uploads/?digest=sha256:${HEX}`, body: 'x' },
    DIGEST_INVALID,
  ),
  ofRegistry(
    'upload at once: an empty digest',
    { method: 'POST', target: '/v2/acme/web/blobs/uploads/?digest=', body: '' },
    DIGEST_INVALID,
  ),
  ofRegistry(
    'upload at once: two digests',
    {
      method: 'POST',
      target: `/v2/acme/web/blobs/uploads/?digest=sha256:${HEX}&digest=sha256:${HEX}`,
      body: 'x',
    },
    { status: 400, code: 'UNSUPPORTED', message: /digest is given more than once/ },
  ),
  ofRegistry(
    'mount: a bad digest',
    { method: 'POST', target: '/v2/acme/web/blobs/uploads/?mount=sha256:x&from=acme/other', body: '' },
    DIGEST_INVALID,
  ),
  ofRegistry(
    'mount: a bad source',
    { method: 'POST', target: `/v2/acme/web/blobs/uploads/?mount=sha256:${HEX}&from=../etc`, body: '' },
    NAME_INVALID,
  ),
  ofRegistry(
    'mount: two sources',
    {
      method: 'POST',
      target: `/v2/acme/web/blobs/uploads/?mount=sha256:${HEX}&from=acme/a&from=acme/b`,
      body: '',
    },
    { status: 400, code: 'UNSUPPORTED' },
  ),
  ofRegistry(
    'an unknown digest-algorithm',
    { method: 'POST', target: '/v2/acme/web/blobs/uploads/?digest-algorithm=md5', body: '' },
    DIGEST_INVALID,
  ),
  ofRegistry(
    'an empty digest-algorithm',
    { method: 'POST', target: '/v2/acme/web/blobs/uploads/?digest-algorithm=', body: '' },
    DIGEST_INVALID,
  ),
  ofRegistry(
    'closing PUT without a digest',
    async (fixture) => ({ method: 'PUT', target: await fixture.newUpload(), body: '' }),
    { ...DIGEST_INVALID, message: /missing/ },
  ),
  ofRegistry(
    'closing PUT with a bad digest',
    async (fixture) => ({ method: 'PUT', target: `${await fixture.newUpload()}?digest=sha256:x`, body: '' }),
    DIGEST_INVALID,
  ),
  ofRegistry(
    'closing PUT with another digest',
    async (fixture) => ({
      method: 'PUT',
      target: `${await fixture.newUpload()}?digest=sha256:${HEX}`,
      body: '',
    }),
    DIGEST_INVALID,
  ),
  ofRegistry(
    'closing PUT with another digest and a chunk',
    async (fixture) => ({
      method: 'PUT',
      target: `${await fixture.newUpload()}?digest=sha256:${HEX}`,
      body: 'more',
    }),
    DIGEST_INVALID,
  ),
  ofRegistry('a session that is no UUID', { target: '/v2/acme/web/blobs/uploads/1' }, UPLOAD_UNKNOWN),
  ofRegistry(
    'a session in capitals',
    async (fixture) => ({
      target: (await fixture.newUpload()).replace(/[^/]*$/, (id) => id.toUpperCase().replace(/[^A-F]/, 'A')),
    }),
    UPLOAD_UNKNOWN,
  ),
  ofRegistry(
    'a session that never was',
    { target: '/v2/acme/web/blobs/uploads/00000000-0000-4000-8000-000000000000' },
    UPLOAD_UNKNOWN,
  ),
  ofRegistry(
    'a session of another repository',
    async (fixture) => ({ target: (await fixture.newUpload()).replace('/acme/web/', '/acme/other/') }),
    UPLOAD_UNKNOWN,
  ),
]
