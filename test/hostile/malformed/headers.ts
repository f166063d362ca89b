import {
  NAME_INVALID,
  NOT_HTTP,
  ofBytes,
  ofConsole,
  ofRegistry,
  raw,
  type Row,
  type Surface,
  UNAUTHORIZED,
} from './row.ts'

const HEADERS_TOO_LARGE = {
  registry: { status: 431, code: 'UNSUPPORTED', headers: { connection: /^close$/ } },
  console: { status: 431, code: 'headers_too_large', headers: { connection: /^close$/ } },
} as const

/** Bytes that no surface gets to see: the listener refuses them, in the words of its surface. */
const NOT_REQUESTS: readonly (readonly [name: string, bytes: string])[] = [
  ['no method', ' /v2/ HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['an unknown method', 'BREW /v2/ HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['a method in lower case', 'get /v2/ HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['no version', 'GET /v2/\r\nHost: x\r\n\r\n'],
  ['HTTP/3.0', 'GET /v2/ HTTP/3.0\r\nHost: x\r\n\r\n'],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['a TLS ClientHello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['a header without a colon', 'GET /v2/ HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n'],
  ['a header without a name', 'GET /v2/ HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n'],
  ['a space before the colon', 'GET /v2/ HTTP/1.1\r\nHost: x\r\nA : y\r\n\r\n'],
  ['a folded header', 'GET /v2/ HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n'],
  ['NUL in a header', 'GET /v2/ HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n'],
  ['a bare carriage return in a header', 'GET /v2/ HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n'],
  ['a bare line feed', 'GET /v2/ HTTP/1.1\nHost: x\n\n'],
  ['no Host', 'GET /v2/ HTTP/1.1\r\n\r\n'],
  ['two Hosts', 'GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
  ['the same Host twice', 'GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n'],
  ['two Hosts in one header', 'GET /v2/ HTTP/1.1\r\nHost: a, b\r\n\r\n'],
  ['a Host with a path', 'GET /v2/ HTTP/1.1\r\nHost: a/b\r\n\r\n'],
  ['a Host with a user', 'GET /v2/ HTTP/1.1\r\nHost: user@a\r\n\r\n'],
  ['a Host with a space', 'GET /v2/ HTTP/1.1\r\nHost: a b\r\n\r\n'],
  [
    'Content-Length twice',
    'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx',
  ],
  [
    'two Content-Lengths',
    'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx',
  ],
  ['two Content-Lengths in one header', 'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\nx'],
  ['a negative Content-Length', 'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n'],
  ['a Content-Length with a plus', 'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nx'],
  ['a Content-Length in hex', 'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\nx'],
  ['a Content-Length of a fraction', 'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1.0\r\n\r\nx'],
  ['a Content-Length with a space inside', 'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1 2\r\n\r\nx'],
  ['an empty Content-Length', 'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n'],
  [
    'a Content-Length beyond 64 bits',
    'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n',
  ],
  [
    'Content-Length and Transfer-Encoding',
    'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  [
    'Transfer-Encoding and Content-Length',
    'POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n',
  ],
  [
    'a Transfer-Encoding that nobody knows',
    'POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n',
  ],
  [
    'chunked before another coding',
    'POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
  ],
  [
    'Transfer-Encoding with a tab before it',
    'POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n',
  ],
]

function onBoth(surface: Surface): Row[] {
  return [
    ...NOT_REQUESTS.map(([name, bytes]) => ofBytes(name, surface, () => raw(bytes), NOT_HTTP[surface])),
    ofBytes(
      '17 KiB of headers',
      surface,
      () => raw(`GET /v2/ HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(17 * 1024)}\r\n\r\n`),
      HEADERS_TOO_LARGE[surface],
    ),
    ofBytes(
      'a header name of 17 KiB',
      surface,
      () => raw(`GET /v2/ HTTP/1.1\r\nHost: x\r\n${'a'.repeat(17 * 1024)}: b\r\n\r\n`),
      HEADERS_TOO_LARGE[surface],
    ),
    ofBytes(
      'a target of 17 KiB',
      surface,
      () => raw(`GET /${'a'.repeat(17 * 1024)} HTTP/1.1\r\nHost: x\r\n\r\n`),
      HEADERS_TOO_LARGE[surface],
    ),
    ofBytes(
      '3000 headers',
      surface,
      () =>
        raw(
          `GET /v2/ HTTP/1.1\r\nHost: x\r\n${Array.from({ length: 3000 }, (_, n) => `a${n}: b\r\n`).join('')}\r\n`,
        ),
      HEADERS_TOO_LARGE[surface],
    ),
  ]
}

/** Framing and headers. */
export const HEADERS: readonly Row[] = [
  ...onBoth('registry'),
  ...onBoth('console'),
  ofRegistry(
    'a Host that is not this one is never repeated',
    { target: '/v2/', authorization: null, host: 'evil.example' },
    UNAUTHORIZED,
  ),
  ofRegistry('an empty Host', { target: '/v2/', authorization: null, host: '' }, UNAUTHORIZED),
  ofRegistry(
    'a Host with another port',
    { target: '/v2/', authorization: null, host: '127.0.0.1:1' },
    UNAUTHORIZED,
  ),
  ofRegistry(
    'X-Forwarded-Host is not believed',
    {
      target: '/v2/',
      authorization: null,
      headers: ['X-Forwarded-Host: evil.example', 'Forwarded: host=evil.example'],
    },
    {
      ...UNAUTHORIZED,
      headers: { 'www-authenticate': /^Bearer realm="http:\/\/127\.0\.0\.1:\d+\/auth\/token"/ },
    },
  ),
  ofRegistry(
    'an X-Forwarded-Proto that is no scheme',
    { target: '/v2/', authorization: null, headers: ['X-Forwarded-Proto: javascript'] },
    UNAUTHORIZED,
  ),
  ofRegistry(
    'an X-Forwarded-For that is no address',
    {
      target: '/v2/acme/web/tags/list',
      address: false,
      headers: ["X-Forwarded-For: <script>, '; DROP TABLE blob"],
    },
    { status: 200, code: null },
  ),
  ofRegistry(
    '10 KiB of X-Forwarded-For',
    {
      target: '/v2/acme/web/tags/list',
      address: false,
      headers: [`X-Forwarded-For: ${'1.1.1.1, '.repeat(1000)}1.1.1.1`],
    },
    { status: 200, code: null },
  ),
  ofRegistry(
    'an Expect that nobody can meet',
    { target: '/v2/acme/web/tags/list', headers: ['Expect: 200-maybe'] },
    { status: 417, code: 'UNSUPPORTED' },
  ),
  ofConsole(
    'an Expect that nobody can meet',
    { target: '/api/v1/whoami', headers: ['Expect: 200-maybe'] },
    { status: 400, code: 'invalid_request' },
  ),
  ofRegistry(
    'an upgrade to WebSocket is not done',
    {
      target: '/v2/acme/web/tags/list',
      headers: ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: eA=='],
    },
    { status: 200, code: null, headers: { upgrade: null } },
  ),
  ofRegistry(
    'an upgrade to h2c is not done',
    {
      target: '/v2/acme/web/tags/list',
      headers: ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'],
    },
    { status: 200, code: null, headers: { upgrade: null } },
  ),
  ofRegistry(
    'an Accept that is nonsense',
    { target: '/v2/acme/web/manifests/latest', headers: ['Accept: ;;;q=\xe2\x88\x9e'] },
    { status: 200, code: null },
  ),
  ofRegistry(
    'an If-None-Match that is nonsense',
    { target: '/v2/acme/web/manifests/latest', headers: ['If-None-Match: """,,W/'] },
    { status: 200, code: null },
  ),
  ofRegistry(
    'a request id of the client is not taken over',
    { target: '/v2/acme/web/tags/list', headers: ['X-Request-Id: evil'] },
    { status: 200, code: null, headers: { 'x-request-id': /^[0-9a-f-]{36}$/ } },
  ),
  ofRegistry(
    'a method override is not believed',
    {
      target: '/v2/acme/web/manifests/latest',
      headers: [
        'X-HTTP-Method-Override: DELETE',
        'X-Original-URL: /v2/other/web/tags/list',
        'X-Rewrite-URL: /x',
      ],
    },
    { status: 200, code: null, body: (fixture) => fixture.manifest.content },
  ),
  ofRegistry(
    'TRACE',
    { method: 'TRACE', target: '/v2/acme/web/tags/list' },
    { status: 405, code: 'UNSUPPORTED', headers: { allow: /^GET, HEAD$/ } },
  ),
  ofRegistry(
    'OPTIONS of a browser',
    {
      method: 'OPTIONS',
      target: '/v2/acme/web/tags/list',
      headers: ['Origin: https://evil.example', 'Access-Control-Request-Method: GET'],
    },
    { status: 405, code: 'UNSUPPORTED', headers: { 'access-control-allow-origin': null } },
  ),
  ofRegistry(
    'PROPFIND',
    { method: 'PROPFIND', target: '/v2/acme/web/tags/list' },
    { status: 405, code: 'UNSUPPORTED' },
  ),
  ofRegistry(
    'POST of a manifest',
    { method: 'POST', target: '/v2/acme/web/manifests/latest', body: '{}' },
    { status: 405, code: 'UNSUPPORTED', headers: { allow: /^GET, HEAD, PUT, DELETE$/ } },
  ),
  ofRegistry(
    'DELETE of the catalog',
    { method: 'DELETE', target: '/v2/_catalog' },
    { status: 405, code: 'UNSUPPORTED' },
  ),
  ofRegistry(
    'GET of the uploads',
    { target: '/v2/acme/web/blobs/uploads/' },
    { status: 405, code: 'UNSUPPORTED', headers: { allow: /^POST$/ } },
  ),
  ofRegistry(
    'PURGE',
    { method: 'PURGE', target: '/v2/acme/web/manifests/latest' },
    { status: 405, code: 'UNSUPPORTED' },
  ),
  ofRegistry(
    'HTTP/1.0 without a Host',
    { target: '/v2/acme/web/tags/list', version: 'HTTP/1.0', host: null },
    { status: 200, code: null },
  ),
  ofRegistry(
    'a bad name with HTTP/1.0',
    { target: '/v2/acme/Web/tags/list', version: 'HTTP/1.0', host: null },
    NAME_INVALID,
  ),
]
