import {
  DIGEST_INVALID,
  type Fixture,
  NOT_HTTP,
  ofBytes,
  ofRegistry,
  type Parts,
  type Row,
  SIZE_INVALID,
  raw,
} from './row.ts'

const TIB = 1024 ** 4

/** A chunked body as it is, to a new upload. */
function chunked(name: string, body: string, answer: Parameters<typeof ofRegistry>[2]): Row {
  return ofRegistry(
    name,
    async (fixture) => ({
      method: 'PATCH',
      target: await fixture.newUpload(),
      headers: ['Transfer-Encoding: chunked'],
      body,
      length: false,
    }),
    answer,
  )
}

/** A request whose refusal must not make the server take the rest of its body for a request. */
function smuggled(
  name: string,
  parts: (fixture: Fixture, inner: string) => Parts,
  answer: Parameters<typeof ofRegistry>[2],
): Row {
  return ofRegistry(
    name,
    (fixture) =>
      parts(
        fixture,
        `DELETE /v2/acme/web/manifests/latest HTTP/1.1\r\nHost: x\r\nAuthorization: ${fixture.basic}\r\n\r\n`,
      ),
    answer,
  )
}

/** Bodies that are framed badly, are too large, or are none. */
export const BODIES: readonly Row[] = [
  chunked('a chunk size that is not hex', 'xyz\r\nabc\r\n0\r\n\r\n', NOT_HTTP.registry),
  chunked('a negative chunk size', '-1\r\n\r\n0\r\n\r\n', NOT_HTTP.registry),
  chunked('an empty chunk size', '\r\n\r\n0\r\n\r\n', NOT_HTTP.registry),
  chunked('a chunk size beyond 64 bits', 'fffffffffffffffff\r\n', NOT_HTTP.registry),
  chunked('a chunk that is longer than its size', '3\r\nabcdef\r\n0\r\n\r\n', NOT_HTTP.registry),
  chunked('a chunk size with 0x', '0x3\r\nabc\r\n0\r\n\r\n', NOT_HTTP.registry),
  chunked('a chunk size with a space before it', ' 3\r\nabc\r\n0\r\n\r\n', NOT_HTTP.registry),
  chunked('a chunk with a bare line feed', '3\nabc\n0\n\n', NOT_HTTP.registry),
  chunked('a chunk extension of 20 KiB', `3;${'a'.repeat(20 * 1024)}\r\nabc\r\n0\r\n\r\n`, {
    ...NOT_HTTP.registry,
    status: 413,
  }),
  chunked('a trailer without a colon', '3\r\nabc\r\n0\r\nnonsense\r\n\r\n', NOT_HTTP.registry),
  chunked('a trailer of 20 KiB', `3\r\nabc\r\n0\r\nA: ${'a'.repeat(20 * 1024)}\r\n\r\n`, {
    ...NOT_HTTP.registry,
    status: 431,
  }),
  chunked('chunks of one byte', `${'1\r\nx\r\n'.repeat(1000)}0\r\n\r\n`, {
    status: 202,
    code: null,
    headers: { range: /^0-1004$/ },
  }),
  chunked('a chunk extension', '3;x=y\r\nabc\r\n0\r\n\r\n', {
    status: 202,
    code: null,
    headers: { range: /^0-7$/ },
  }),
  chunked(
    'a trailer that looks like a header',
    '3\r\nabc\r\n0\r\nContent-Range: 100-200\r\nAuthorization: Basic eDp5\r\n\r\n',
    { status: 202, code: null, headers: { range: /^0-7$/ } },
  ),
  chunked('no bytes at all', '0\r\n\r\n', { status: 202, code: null, headers: { range: /^0-4$/ } }),
  ofRegistry(
    'a blob of a pebibyte',
    {
      method: 'POST',
      target: `/v2/acme/web/blobs/uploads/?digest=sha256:${'0'.repeat(64)}`,
      headers: [`Content-Length: ${1024 * TIB}`],
    },
    { ...SIZE_INVALID, status: 413, unfinished: true },
  ),
  ofRegistry(
    'a blob of 2^63 bytes',
    {
      method: 'POST',
      target: `/v2/acme/web/blobs/uploads/?digest=sha256:${'0'.repeat(64)}`,
      headers: ['Content-Length: 9223372036854775807'],
    },
    { ...SIZE_INVALID, status: 413, unfinished: true },
  ),
  ofRegistry(
    'a chunk of a pebibyte',
    async (fixture) => ({
      method: 'PATCH',
      target: await fixture.newUpload(),
      headers: [`Content-Length: ${1024 * TIB}`],
    }),
    { ...SIZE_INVALID, status: 413, unfinished: true },
  ),
  ofRegistry(
    'a Content-Range of a pebibyte',
    async (fixture) => ({
      method: 'PATCH',
      target: await fixture.newUpload(),
      headers: [`Content-Range: 5-${1024 * TIB}`, 'Transfer-Encoding: chunked'],
      body: '3\r\nabc\r\n0\r\n\r\n',
      length: false,
    }),
    { ...SIZE_INVALID, status: 413 },
  ),
  ofRegistry(
    'a manifest of a gibibyte is refused by its length',
    { method: 'PUT', target: '/v2/acme/web/manifests/x', headers: ['Content-Length: 1073741824'] },
    { status: 413, code: 'MANIFEST_INVALID', unfinished: true },
  ),
  ofRegistry(
    'a chunked manifest of 4 MiB and one',
    {
      method: 'PUT',
      target: '/v2/acme/web/manifests/x',
      headers: ['Transfer-Encoding: chunked'],
      body: `400001\r\n${' '.repeat(0x400001)}\r\n0\r\n\r\n`,
      length: false,
    },
    { status: 413, code: 'MANIFEST_INVALID' },
  ),
  ofRegistry(
    'a body that is asked for and then refused',
    {
      method: 'PUT',
      target: '/v2/acme/Web/manifests/x',
      headers: ['Content-Length: 2', 'Expect: 100-continue'],
    },
    { status: 400, code: 'NAME_INVALID', unfinished: true, headers: { connection: /^close$/ } },
  ),
  ofRegistry(
    'a GET with a body',
    { target: '/v2/acme/web/tags/list', body: '{"x":1}' },
    { status: 200, code: null },
  ),
  ofRegistry(
    'a DELETE with a body',
    { method: 'DELETE', target: '/v2/acme/web/manifests/nothing', body: 'x'.repeat(100_000) },
    { status: 404, code: 'MANIFEST_UNKNOWN' },
  ),
  ofRegistry(
    'a gzipped manifest',
    {
      method: 'PUT',
      target: '/v2/acme/web/manifests/x',
      headers: ['Content-Encoding: gzip'],
      body: Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]),
    },
    { status: 400, code: 'MANIFEST_INVALID' },
  ),
  ofRegistry(
    'a multipart upload',
    {
      method: 'POST',
      target: `/v2/acme/web/blobs/uploads/?digest=sha256:${'0'.repeat(64)}`,
      headers: ['Content-Type: multipart/form-data; boundary=x'],
      body: '--x\r\n\r\n\r\n--x--',
    },
    DIGEST_INVALID,
  ),
  smuggled(
    'a request inside a refused body',
    (_, inner) => ({ method: 'PUT', target: '/v2/acme/Web/manifests/x', body: inner }),
    { status: 400, code: 'NAME_INVALID' },
  ),
  smuggled(
    'a request inside the body of a GET',
    (_, inner) => ({ target: '/v2/acme/Web/tags/list', body: inner }),
    { status: 400, code: 'NAME_INVALID' },
  ),
  smuggled(
    'a request inside the body of an unauthenticated push',
    (_, inner) => ({ method: 'PUT', target: '/v2/acme/web/manifests/x', authorization: null, body: inner }),
    { status: 401, code: 'UNAUTHORIZED' },
  ),
  ofBytes(
    'a request inside one with both framings',
    'registry',
    (fixture) =>
      raw(
        `POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nDELETE /v2/acme/web/manifests/latest HTTP/1.1\r\nHost: x\r\nAuthorization: ${fixture.basic}\r\n\r\n`,
        'POST',
      ),
    NOT_HTTP.registry,
  ),
]
