import { type Fixture, ofRegistry, type Row, SIZE_INVALID } from './row.ts'

type Answer = Parameters<typeof ofRegistry>[2]

const WHOLE = {
  status: 200,
  code: null,
  body: (fixture: Fixture) => fixture.bigLayer.content,
  headers: { 'content-range': null },
} as const
const UNSATISFIED = {
  status: 416,
  code: 'UNSUPPORTED',
  headers: { 'content-range': /^bytes \*\/100000$/ },
} as const
const CONTENT_RANGE = { status: 400, code: 'BLOB_UPLOAD_INVALID', message: /Content-Range/ } as const
const ELSEWHERE = {
  status: 416,
  code: 'BLOB_UPLOAD_INVALID',
  headers: { range: /^0-4$/, location: /^\/v2\/acme\/web\/blobs\/uploads\// },
} as const

function range(name: string, value: string, answer: Answer, more: readonly string[] = []): Row {
  return ofRegistry(
    name,
    (fixture) => ({
      target: `/v2/acme/web/blobs/${fixture.bigLayer.digest}`,
      headers: [`Range: ${value}`, ...more],
    }),
    answer,
  )
}

function part(from: number, to: number): Answer {
  return {
    status: 206,
    code: null,
    body: (fixture) => fixture.bigLayer.content.subarray(from, to + 1),
    headers: { 'content-range': new RegExp(`^bytes ${from}-${to}/100000$`) },
  }
}

/** A chunk of 5 bytes behind the 5 that the session holds. */
function chunk(name: string, contentRange: string, answer: Answer, body = '56789'): Row {
  return ofRegistry(
    name,
    async (fixture) => ({
      method: 'PATCH',
      target: await fixture.newUpload(),
      headers: [`Content-Range: ${contentRange}`],
      body,
    }),
    answer,
  )
}

/** Ranges of downloads and of uploads. */
export const RANGES: readonly Row[] = [
  range('a reversed range', 'bytes=500-0', UNSATISFIED),
  range('a range behind the end', 'bytes=100000-', UNSATISFIED),
  range('a range far behind the end', 'bytes=999999999999-', UNSATISFIED),
  range('a range beyond 2^64', `bytes=${'9'.repeat(40)}-`, UNSATISFIED),
  range('the last zero bytes', 'bytes=-0', UNSATISFIED),
  range('an end behind the end is clipped', 'bytes=99990-999999', part(99_990, 99_999)),
  range('more last bytes than there are', 'bytes=-999999', part(0, 99_999)),
  range('two ranges are everything', 'bytes=0-1,5-6', WHOLE),
  range(
    '1000 ranges are everything',
    `bytes=${Array.from({ length: 1000 }, (_, n) => `${n}-${n}`).join(',')}`,
    WHOLE,
  ),
  range('overlapping ranges are everything', 'bytes=0-,0-,0-', WHOLE),
  range('another unit', 'items=0-1', WHOLE),
  range('no unit', '0-1', WHOLE),
  range('an empty range', 'bytes=', WHOLE),
  range('a hyphen', 'bytes=-', WHOLE),
  range('a negative first byte', 'bytes=-1-5', WHOLE),
  range('hex', 'bytes=0x0-0x5', WHOLE),
  range('a fraction', 'bytes=0.5-2', WHOLE),
  range('spaces inside', 'bytes= 0 - 1', WHOLE),
  range('letters', 'bytes=a-b', WHOLE),
  range('Range twice', 'bytes=0-1', WHOLE, ['Range: bytes=5-6']),
  range('If-Range of other content', 'bytes=0-9', WHOLE, [`If-Range: "sha256:${'0'.repeat(64)}"`]),
  range('If-Range with a date', 'bytes=0-9', WHOLE, ['If-Range: Thu, 01 Jan 1970 00:00:00 GMT']),
  range('If-Range that is nothing', 'bytes=0-9', WHOLE, ['If-Range: ']),
  range('If-Range that is weak', 'bytes=0-9', WHOLE, ['If-Range: W/"x"']),
  ofRegistry(
    'a range of a manifest is ignored',
    { target: '/v2/acme/web/manifests/latest', headers: ['Range: bytes=0-1'] },
    { status: 200, code: null, body: (fixture) => fixture.manifest.content },
  ),
  ofRegistry(
    'a range of a blob in the database, reversed',
    (fixture) => ({ target: `/v2/acme/web/blobs/${fixture.layer.digest}`, headers: ['Range: bytes=9-1'] }),
    { status: 416, code: 'UNSUPPORTED', headers: { 'content-range': /^bytes \*\/1000$/ } },
  ),
  chunk('a chunk that begins too early', '0-4', ELSEWHERE),
  chunk('a chunk that begins too late', '10-14', ELSEWHERE),
  chunk('a chunk that overlaps', '4-8', ELSEWHERE),
  chunk('a chunk that begins beyond 2^53', '9007199254740993-9007199254740997', CONTENT_RANGE),
  chunk('a reversed chunk', '9-5', CONTENT_RANGE),
  chunk('a negative chunk', '-5-9', CONTENT_RANGE),
  chunk('letters for a chunk', 'a-b', CONTENT_RANGE),
  chunk('an empty Content-Range', '', CONTENT_RANGE),
  chunk('a chunk with a unit and no size', 'bytes 5-9', CONTENT_RANGE),
  chunk('a chunk beyond its own size', 'bytes 5-9/9', CONTENT_RANGE),
  chunk('a chunk with a bad size', 'bytes 5-9/x', CONTENT_RANGE),
  chunk('a chunk in hex', '0x5-0x9', CONTENT_RANGE),
  chunk('a chunk with spaces', '5 - 9', CONTENT_RANGE),
  chunk('a chunk in 129 characters', `${'0'.repeat(126)}5-9`, CONTENT_RANGE),
  chunk('two chunks in one header', '5-9, 5-9', CONTENT_RANGE),
  chunk('a chunk that is shorter than it says', '5-10', SIZE_INVALID),
  chunk('a chunk that is longer than it says', '5-8', SIZE_INVALID),
  ofRegistry(
    'Content-Range twice',
    async (fixture) => ({
      method: 'PATCH',
      target: await fixture.newUpload(),
      headers: ['Content-Range: 5-9', 'Content-Range: 5-9'],
      body: '56789',
    }),
    CONTENT_RANGE,
  ),
  ofRegistry(
    'a chunked body that is longer than its Content-Range',
    async (fixture) => ({
      method: 'PATCH',
      target: await fixture.newUpload(),
      headers: ['Content-Range: 5-5', 'Transfer-Encoding: chunked'],
      body: '5\r\n56789\r\n0\r\n\r\n',
      length: false,
    }),
    SIZE_INVALID,
  ),
  ofRegistry(
    'a closing PUT at the wrong place',
    async (fixture) => ({
      method: 'PUT',
      target: `${await fixture.newUpload()}?digest=${fixture.layer.digest}`,
      headers: ['Content-Range: 0-4'],
      body: '56789',
    }),
    ELSEWHERE,
  ),
  ofRegistry(
    'a closing PUT with a bad Content-Range',
    async (fixture) => ({
      method: 'PUT',
      target: `${await fixture.newUpload()}?digest=${fixture.layer.digest}`,
      headers: ['Content-Range: x'],
      body: '56789',
    }),
    CONTENT_RANGE,
  ),
]
