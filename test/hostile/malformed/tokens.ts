import { createHmac } from 'node:crypto'
import { BAD_PARAMETER, type Fixture, ofRegistry, type Row, UNAUTHORIZED } from './row.ts'

type Answer = Parameters<typeof ofRegistry>[2]

const INVALID_TOKEN = { ...UNAUTHORIZED, headers: { 'www-authenticate': /error="invalid_token"/ } } as const
const FORM = 'Content-Type: application/x-www-form-urlencoded'

function shown(
  name: string,
  authorization: string | ((fixture: Fixture) => string),
  answer: Answer = INVALID_TOKEN,
): Row {
  return ofRegistry(
    name,
    (fixture) => ({
      target: '/v2/acme/web/tags/list',
      authorization: typeof authorization === 'function' ? authorization(fixture) : authorization,
    }),
    answer,
  )
}

function basic(name: string, text: string | Uint8Array | ((fixture: Fixture) => string)): Row {
  const encode = (value: string | Uint8Array): string =>
    `Basic ${Buffer.from(value as string).toString('base64')}`
  return shown(name, typeof text === 'function' ? (fixture) => encode(text(fixture)) : encode(text))
}

type Claims = Record<string, unknown>

function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
}

function decode(token: string): Claims {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Claims
}

function sign(header: Claims, claims: Claims, secret: string): string {
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

/** A good token with its header or claims changed, signed by nobody or by somebody else. */
function forged(name: string, forge: (claims: Claims, token: string, fixture: Fixture) => string): Row {
  return shown(
    name,
    (fixture) => `Bearer ${forge(decode(fixture.accessToken), fixture.accessToken, fixture)}`,
  )
}

const HEADER = { alg: 'HS256', typ: 'berth-access+jwt' }

const HEADERS: readonly Row[] = [
  shown('an empty Authorization', '', INVALID_TOKEN),
  shown('a scheme alone', 'Basic'),
  shown('a scheme that nobody knows', 'Digest username="api"'),
  shown('Negotiate', 'Negotiate YII='),
  shown('two schemes', (fixture) => `${fixture.basic}, Bearer x`),
  shown('bad base64', 'Basic !!!!'),
  shown('base64 without its padding', (fixture) => fixture.basic.replace(/=*$/, '').slice(0, -1)),
  shown('base64url', 'Basic _-_-'),
  shown('base64 with bits left over', 'Basic YXBpOnh='),
  shown('a comma behind the credential', (fixture) => `${fixture.basic},`),
  basic('no colon', 'api'),
  basic('an empty user', ':x'),
  basic('an empty password', 'api:'),
  basic('another user', (fixture) => `root:${fixture.keyText}`),
  basic('the user in capitals', (fixture) => `API:${fixture.keyText}`),
  basic(
    'a key with its checksum changed',
    (fixture) => `api:${fixture.keyText.slice(0, -1)}${fixture.keyText.endsWith('0') ? '1' : '0'}`,
  ),
  basic('a key that is cut short', (fixture) => `api:${fixture.keyText.slice(0, -6)}`),
  basic('a key with a line break behind it', (fixture) => `api:${fixture.keyText}\n`),
  basic('a key in capitals', (fixture) => `api:${fixture.keyText.toUpperCase()}`),
  basic('a key of another kind', (fixture) => `api:${fixture.keyText.replace('brth_k_', 'brth_p_')}`),
  basic('NUL in the password', 'api:\0'),
  basic('invalid UTF-8', Buffer.from([0x61, 0x70, 0x69, 0x3a, 0xff, 0xfe])),
  basic('SQL for a key', `api:' OR '1'='1`),
  basic('the operator token', (fixture) => `api:${fixture.operatorToken}`),
  shown('the operator token as Bearer', (fixture) => `Bearer ${fixture.operatorToken}`),
  shown('the key as Bearer', (fixture) => `Bearer ${fixture.keyText}`),
  shown('an Authorization header of 13 KiB', `Bearer ${'a'.repeat(13 * 1024)}`),
  ofRegistry(
    'Authorization twice: the first one counts',
    (fixture) => ({
      target: '/v2/acme/web/tags/list',
      authorization: 'Basic eDp5',
      headers: [`Authorization: ${fixture.basic}`],
    }),
    INVALID_TOKEN,
  ),
  ofRegistry(
    'no credential',
    { target: '/v2/acme/web/tags/list', authorization: null },
    { ...UNAUTHORIZED, headers: { 'www-authenticate': /scope="repository:acme\/web:pull"$/ } },
  ),
]

const TOKENS: readonly Row[] = [
  shown('a Bearer token of nothing', 'Bearer x'),
  shown('three dots', 'Bearer ...'),
  shown('an empty token', 'Bearer '),
  shown('a token of 9 KiB', `Bearer ${'a'.repeat(9 * 1024)}`),
  shown('a token of 9 KiB in three parts', `Bearer ${encode({ ...HEADER, x: 'a'.repeat(6000) })}.e30.AAAA`),
  forged('alg none', (claims) => `${encode({ alg: 'none', typ: 'berth-access+jwt' })}.${encode(claims)}.`),
  forged('alg None', (claims) => `${encode({ alg: 'None' })}.${encode(claims)}.`),
  forged('no alg', (claims) => sign({ typ: 'berth-access+jwt' }, claims, 'x')),
  forged('alg RS256', (claims) => sign({ ...HEADER, alg: 'RS256' }, claims, 'x')),
  forged('alg HS512', (claims) => sign({ ...HEADER, alg: 'HS512' }, claims, 'x')),
  forged('an empty secret', (claims) => sign(HEADER, claims, '')),
  forged('signed with the region host', (claims, _, { host }) => sign(HEADER, claims, host)),
  forged('a foreign kid', (claims) => sign({ ...HEADER, kid: '../../../../dev/null' }, claims, '')),
  forged('a key of its own in jwk', (claims) =>
    sign({ ...HEADER, jwk: { kty: 'oct', k: 'eA' } }, claims, 'x'),
  ),
  forged('a jku', (claims) => sign({ ...HEADER, jku: 'http://127.0.0.1:1/keys' }, claims, 'x')),
  forged('an x5u', (claims) => sign({ ...HEADER, x5u: 'http://127.0.0.1:1/cert' }, claims, 'x')),
  forged('an unknown crit', (claims) => sign({ ...HEADER, crit: ['x'], x: 1 }, claims, 'x')),
  forged('zip', (claims) => sign({ ...HEADER, zip: 'DEF' }, claims, 'x')),
  forged('claims changed', (claims, token) => {
    const [head, , signature] = token.split('.')
    return `${head}.${encode({ ...claims, access: [{ type: 'repository', name: 'other/x', actions: ['*'] }] })}.${signature}`
  }),
  forged('an exp in a thousand years', (claims, token) => {
    const [head, , signature] = token.split('.')
    return `${head}.${encode({ ...claims, exp: 33_000_000_000 })}.${signature}`
  }),
  forged('the signature cut', (_, token) => token.slice(0, -1)),
  forged('the signature left out', (_, token) => `${token.split('.').slice(0, 2).join('.')}.`),
  forged('two signatures', (_, token) => `${token}.${token.split('.')[2]}`),
  forged('header and claims swapped', (_, token) => {
    const [head, claims, signature] = token.split('.')
    return `${claims}.${head}.${signature}`
  }),
  forged('a header that is no object', (claims) => `${encode('[]')}.${encode(claims)}.AAAA`),
  forged('claims that are no object', () => sign(HEADER, [] as unknown as Claims, 'x')),
  forged('a header nested deeply', () => `${encode(`${'['.repeat(2000)}${']'.repeat(2000)}`)}.e30.AAAA`),
  forged('an encrypted token', () => `${encode({ alg: 'dir', enc: 'A256GCM' })}..AAAA.AAAA.AAAA`),
  shown('the refresh token for an access token', ({ refreshToken }) => `Bearer ${refreshToken}`),
  shown('a token of another region', ({ foreignToken }) => `Bearer ${foreignToken}`),
  ofRegistry(
    'a token that is too narrow',
    ({ accessToken }) => ({
      method: 'DELETE',
      target: '/v2/acme/web/manifests/latest',
      authorization: `Bearer ${accessToken}`,
    }),
    { ...UNAUTHORIZED, headers: { 'www-authenticate': /error="insufficient_scope"/ } },
  ),
  ofRegistry(
    'a token for another repository',
    ({ accessToken }) => ({ target: '/v2/acme/elsewhere/tags/list', authorization: `Bearer ${accessToken}` }),
    {
      ...UNAUTHORIZED,
      headers: { 'www-authenticate': /scope="repository:acme\/elsewhere:pull",error="insufficient_scope"/ },
    },
  ),
]

function get(
  name: string,
  query: string,
  answer: Answer,
  more: { authorization?: string | ((fixture: Fixture) => string) } = {},
): Row {
  return ofRegistry(
    name,
    (fixture) => ({
      target: `/auth/token?${query}`,
      ...(more.authorization === undefined
        ? {}
        : {
            authorization:
              typeof more.authorization === 'function' ? more.authorization(fixture) : more.authorization,
          }),
    }),
    answer,
  )
}

function post(name: string, body: string | ((fixture: Fixture) => string), answer: Answer, type = FORM): Row {
  return ofRegistry(
    name,
    (fixture) => ({
      method: 'POST',
      target: '/auth/token',
      authorization: null,
      headers: [type],
      body: typeof body === 'function' ? body(fixture) : body,
    }),
    answer,
  )
}

const ISSUED = { status: 200, code: null } as const

const ENDPOINT: readonly Row[] = [
  get(
    'a thousand scopes',
    Array.from({ length: 1000 }, (_, n) => `scope=r:a/${n}:x`)
      .join('&')
      .slice(0, 14_000),
    BAD_PARAMETER,
  ),
  get('21 scopes', Array.from({ length: 21 }, (_, n) => `scope=repository:acme/r${n}:pull`).join('&'), {
    ...BAD_PARAMETER,
    message: /too many scopes/,
  }),
  get('9 KiB of scopes', `scope=repository:acme/${'a'.repeat(9 * 1024)}:pull`, BAD_PARAMETER),
  get('a scope that is none', 'scope=nonsense', ISSUED),
  get('a scope of an unknown type', 'scope=planet:earth:destroy', ISSUED),
  get('a scope of another project', 'scope=repository:other/web:pull,push,delete', ISSUED),
  get('a scope of everything', 'scope=*:*:*', ISSUED),
  get('a scope that leads out', 'scope=repository:acme/../other/web:pull', ISSUED),
  get('a scope with NUL', 'scope=repository:acme/web%00:pull', ISSUED),
  get('a million actions', `scope=repository:acme/web:${'pull,'.repeat(1600)}`, ISSUED),
  get('the token endpoint with a token', 'scope=repository:acme/web:pull', INVALID_TOKEN, {
    authorization: ({ accessToken }) => `Bearer ${accessToken}`,
  }),
  get('the token endpoint with the word Bearer', '', INVALID_TOKEN, { authorization: 'BEARER x' }),
  get('the token endpoint with a wrong key', '', INVALID_TOKEN, { authorization: 'Basic eDp5' }),
  get('an access token for the identity token', '', INVALID_TOKEN, {
    authorization: ({ accessToken }) => `Basic ${Buffer.from(`<token>:${accessToken}`).toString('base64')}`,
  }),
  post('no grant_type', '', { ...BAD_PARAMETER, message: /grant_type/ }),
  post('an unknown grant_type', 'grant_type=client_credentials', { ...BAD_PARAMETER, message: /grant_type/ }),
  post('grant_type as an object key', 'grant_type=__proto__', BAD_PARAMETER),
  post('a password that is wrong', 'grant_type=password&username=api&password=x', INVALID_TOKEN),
  post('no user and no password', 'grant_type=password', INVALID_TOKEN),
  post('no refresh token', 'grant_type=refresh_token', INVALID_TOKEN),
  post(
    'an access token for a refresh token',
    (fixture) => `grant_type=refresh_token&refresh_token=${fixture.accessToken}`,
    INVALID_TOKEN,
  ),
  post(
    'a refresh token of 9 KiB',
    `grant_type=refresh_token&refresh_token=${'a'.repeat(9 * 1024)}`,
    INVALID_TOKEN,
  ),
  post('a body of 16 KiB and one', `grant_type=password&x=${'a'.repeat(16 * 1024)}`, {
    status: 413,
    code: 'UNSUPPORTED',
  }),
  post(
    'a form as JSON',
    '{"grant_type":"password"}',
    { ...BAD_PARAMETER, message: /x-www-form-urlencoded/ },
    'Content-Type: application/json',
  ),
  post('a form without a type', 'grant_type=password', BAD_PARAMETER, 'X-Nothing: x'),
  post('a form with bad escapes', 'grant_type=%zz%', BAD_PARAMETER),
  post(
    '21 scopes in a form',
    `grant_type=password&${Array.from({ length: 21 }, (_, n) => `scope=repository:acme/r${n}:pull`).join('&')}`,
    BAD_PARAMETER,
  ),
  ofRegistry(
    'PUT of a token',
    { method: 'PUT', target: '/auth/token', body: '' },
    { status: 405, code: 'UNSUPPORTED', headers: { allow: /^GET, POST$/ } },
  ),
]

/** Credentials, tokens and the token endpoint. */
export const TOKEN_ROWS: readonly Row[] = [...HEADERS, ...TOKENS, ...ENDPOINT]
