import { ofConsole, type Row } from './row.ts'

type Answer = Parameters<typeof ofConsole>[2]

const JSON_TYPE = 'Content-Type: application/json'
const INVALID_JSON = { status: 400, code: 'invalid_json' } as const
const INVALID_REQUEST = { status: 400, code: 'invalid_request' } as const
const UNAUTHENTICATED = {
  status: 401,
  code: 'unauthenticated',
  headers: { 'www-authenticate': /^Bearer realm="berth"/ },
} as const
const NOT_FOUND = { status: 404, code: 'route_not_found' } as const
const MEDIA_TYPE = { status: 415, code: 'unsupported_media_type' } as const

function wrong(...fields: string[]): Answer {
  return { status: 422, code: 'validation_failed', fields }
}

function create(name: string, body: string | Uint8Array, answer: Answer): Row {
  return ofConsole(name, { method: 'POST', target: '/api/v1/projects', headers: [JSON_TYPE], body }, answer)
}

function key(name: string, more: Record<string, unknown>, answer: Answer): Row {
  return ofConsole(
    `key: ${name}`,
    {
      method: 'POST',
      target: '/api/v1/projects/acme/api-keys',
      headers: [JSON_TYPE],
      body: JSON.stringify({ name: 'x', ...more }),
    },
    answer,
  )
}

function get(name: string, path: string, answer: Answer): Row {
  return ofConsole(name, { target: `/api/v1${path}` }, answer)
}

const BODIES: readonly Row[] = [
  create('not JSON', 'name=x', INVALID_JSON),
  create('JSON that breaks off', '{"name":', INVALID_JSON),
  create('two documents', '{}{}', INVALID_JSON),
  create('a duplicate key', '{"name":"a","name":"b"}', INVALID_JSON),
  create('keys that differ in case', '{"name":"a","Name":"b"}', INVALID_JSON),
  create('invalid UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), INVALID_JSON),
  create('a byte order mark', '\ufeff{"name":"x"}', INVALID_JSON),
  create('nesting of 100 000', '['.repeat(100_000), INVALID_JSON),
  create('1 MiB of open brackets', '['.repeat(1024 * 1024), INVALID_JSON),
  create('an integer beyond 2^53', '{"name":"a","quotaBytes":9007199254740993}', INVALID_JSON),
  create('NaN', '{"name":"a","quotaBytes":NaN}', INVALID_JSON),
  create('an array', '[]', wrong('body')),
  create('a string', '"x"', wrong('body')),
  create('no body', '', wrong('body.name')),
  create('null for a name', '{"name":null}', wrong('body.name')),
  create('a number for a name', '{"name":1}', wrong('body.name')),
  create('an object for a name', '{"name":{"toString":1}}', wrong('body.name')),
  create('a name of spaces', '{"name":"   "}', wrong('body.name')),
  create('a name of 101 characters', JSON.stringify({ name: 'x'.repeat(101) }), wrong('body.name')),
  create('a name with a direction override', JSON.stringify({ name: 'a\u202eb' }), wrong('body.name')),
  create('an unknown field', '{"name":"a","isAdmin":true}', wrong('body.isAdmin')),
  create('__proto__', '{"name":"a","__proto__":{"isAdmin":true}}', wrong('body.__proto__')),
  create(
    'constructor',
    '{"name":"a","constructor":{"prototype":{"isAdmin":true}}}',
    wrong('body.constructor'),
  ),
  create('an id of the client', '{"name":"a","id":"x"}', wrong('body.id')),
  create('a namespace in capitals', '{"name":"a","namespace":"Acme"}', wrong('body.namespace')),
  create('a namespace of one character', '{"name":"a","namespace":"a"}', wrong('body.namespace')),
  create(
    'a namespace of 64 characters',
    JSON.stringify({ name: 'a', namespace: 'a'.repeat(64) }),
    wrong('body.namespace'),
  ),
  create('a namespace with a slash', '{"name":"a","namespace":"a/b"}', wrong('body.namespace')),
  create('a namespace with two hyphens', '{"name":"a","namespace":"a--b"}', wrong('body.namespace')),
  create(
    'a namespace that looks Latin',
    JSON.stringify({ name: 'a', namespace: 'аcme' }),
    wrong('body.namespace'),
  ),
  create('a reserved namespace', '{"name":"a","namespace":"v2"}', wrong('body.namespace')),
  create('a namespace that is taken', '{"name":"a","namespace":"acme"}', {
    status: 409,
    code: 'namespace_taken',
  }),
  create('a negative quota', '{"name":"a","quotaBytes":-1}', wrong('body.quotaBytes')),
  create('a quota of half a byte', '{"name":"a","quotaBytes":0.5}', wrong('body.quotaBytes')),
  create('a quota as a string', '{"name":"a","quotaBytes":"1"}', wrong('body.quotaBytes')),
  create(
    'a truth that is a string',
    '{"name":"a","allowSparseIndexes":"yes"}',
    wrong('body.allowSparseIndexes'),
  ),
  create(
    'globs that are no list',
    '{"name":"a","publicRepositories":"**"}',
    wrong('body.publicRepositories'),
  ),
  create(
    'a glob with two stars in a word',
    '{"name":"a","publicRepositories":["a**b"]}',
    wrong('body.publicRepositories.0'),
  ),
  create(
    'a glob that leads out',
    '{"name":"a","publicRepositories":["../*"]}',
    wrong('body.publicRepositories.0'),
  ),
  create(
    'a glob in capitals',
    '{"name":"a","publicRepositories":["Web"]}',
    wrong('body.publicRepositories.0'),
  ),
  create(
    'an empty glob',
    '{"name":"a","publicRepositories":[""]}',
    wrong('body.publicRepositories.0', 'body.publicRepositories.0'),
  ),
  create(
    '101 globs',
    JSON.stringify({ name: 'a', publicRepositories: Array.from({ length: 101 }, (_, n) => `r${n}`) }),
    wrong('body.publicRepositories'),
  ),
  create('1 MiB and one byte', `{"name":"${'x'.repeat(1024 * 1024 + 1 - 11)}"}`, {
    status: 413,
    code: 'body_too_large',
  }),
  create(
    'several mistakes at once',
    '{"name":"","quotaBytes":-1,"x":1}',
    wrong('body.name', 'body.quotaBytes', 'body.x'),
  ),
  key('an action that nobody knows', { actions: ['admin'] }, wrong('body.actions.0')),
  key('no actions', { actions: [] }, wrong('body.actions')),
  key('a thousand actions', { actions: Array.from({ length: 1000 }, () => 'pull') }, wrong('body.actions')),
  key('no repositories', { repositories: [] }, wrong('body.repositories')),
  key('a repository with NUL', { repositories: ['a\u0001'] }, wrong('body.repositories.0')),
  key('a region that is none', { regions: ['No Region'] }, wrong('body.regions.0')),
  key('a region that is not there', { regions: ['mars'] }, { status: 404, code: 'region_not_found' }),
  key('a network that is none', { cidrs: ['10.0.0.0/33'] }, wrong('body.cidrs.0')),
  key('a network with a zone', { cidrs: ['fe80::1%eth0'] }, wrong('body.cidrs.0')),
  key('a name for a network', { cidrs: ['localhost'] }, wrong('body.cidrs.0')),
  key('an expiry that is no date', { expiresAt: 'tomorrow' }, wrong('body.expiresAt')),
  key('an expiry as a number', { expiresAt: 1 }, wrong('body.expiresAt')),
  key('an expiry in the past', { expiresAt: '2001-01-01T00:00:00Z' }, wrong('body.expiresAt')),
]

const TYPES: readonly Row[] = [
  ofConsole(
    'a form',
    {
      method: 'POST',
      target: '/api/v1/projects',
      headers: ['Content-Type: application/x-www-form-urlencoded'],
      body: 'name=x',
    },
    MEDIA_TYPE,
  ),
  ofConsole(
    'JSON as text',
    {
      method: 'POST',
      target: '/api/v1/projects',
      headers: ['Content-Type: text/plain'],
      body: '{"name":"x"}',
    },
    MEDIA_TYPE,
  ),
  ofConsole(
    'JSON without a type',
    { method: 'POST', target: '/api/v1/projects', body: '{"name":"x"}' },
    MEDIA_TYPE,
  ),
  ofConsole(
    'a type with malformed parameters counts by its first part',
    {
      method: 'POST',
      target: '/api/v1/projects',
      headers: ['Content-Type: application/json;;;=,'],
      body: '{"name":""}',
    },
    wrong('body.name'),
  ),
  ofConsole(
    'a type with a tab in it',
    {
      method: 'POST',
      target: '/api/v1/projects',
      headers: ['Content-Type: application/json\ta'],
      body: '{"name":""}',
    },
    MEDIA_TYPE,
  ),
  ofConsole(
    'gzip',
    {
      method: 'POST',
      target: '/api/v1/projects',
      headers: [JSON_TYPE, 'Content-Encoding: gzip'],
      body: '{"name":"x"}',
    },
    MEDIA_TYPE,
  ),
  ofConsole(
    'an empty patch',
    { method: 'PATCH', target: '/api/v1/projects/acme', headers: [JSON_TYPE], body: '{}' },
    wrong('body'),
  ),
  ofConsole(
    'another namespace in a patch',
    { method: 'PATCH', target: '/api/v1/projects/acme', headers: [JSON_TYPE], body: '{"namespace":"other"}' },
    wrong('body', 'body.namespace'),
  ),
]

const PATHS: readonly Row[] = [
  get('an unknown path', '/nothing', NOT_FOUND),
  get('a path with a slash behind it', '/projects/', wrong('params.project', 'params.project')),
  get('a double slash', '//projects', NOT_FOUND),
  get('a path in capitals', '/Projects', NOT_FOUND),
  get('a bad escape', '/projects/%zz', INVALID_REQUEST),
  get('a path that is not UTF-8', '/projects/%ff', INVALID_REQUEST),
  get('dots that lead out', '/projects/..%2f..%2fetc', wrong('params.project')),
  get('a project that no name can have', '/projects/No_Body', wrong('params.project')),
  get('an empty project', '/projects//api-keys', wrong('params.project', 'params.project')),
  get('a project with NUL', '/projects/acme%00', wrong('params.project')),
  get('a project that is not there', '/projects/nobody', { status: 404, code: 'project_not_found' }),
  get('a key that no id can be', '/projects/acme/api-keys/a%20b', wrong('params.key')),
  get('a key that is not there', '/projects/acme/api-keys/abc', { status: 404, code: 'api_key_not_found' }),
  get('a repository that no name can be', '/projects/acme/repositories/..%2Fx', wrong('params.repository')),
  get('a repository that is not there', '/projects/acme/repositories/nothing', {
    status: 404,
    code: 'repository_not_found',
  }),
  get('a tag that no name can be', '/projects/acme/repositories/web/tags/.x', wrong('params.tag')),
  get(
    'a reference that is none',
    '/projects/acme/repositories/web/manifests/sha256:x',
    wrong('params.reference'),
  ),
  get(
    'a tag where a digest belongs',
    '/projects/acme/repositories/web/manifests/latest/referrers',
    wrong('params.reference'),
  ),
  get('a region that is none', '/projects/acme/repositories/web?region=No', wrong('query.region')),
  get('a region that is not there', '/projects/acme/repositories/web?region=mars', {
    status: 404,
    code: 'region_not_found',
  }),
  get('an unknown parameter', '/projects?sort=name', wrong('query.sort')),
  get('a parameter where there is none', '/whoami?x=1', wrong('query.x')),
  get('__proto__ as a parameter', '/projects?__proto__=1', wrong('query.__proto__')),
  get('limit = 0', '/projects?limit=0', wrong('query.limit')),
  get('limit = -1', '/projects?limit=-1', wrong('query.limit')),
  get('limit = 501', '/projects?limit=501', wrong('query.limit')),
  get('limit = 1e9', '/projects?limit=1e9', wrong('query.limit')),
  get('limit = 1.5', '/projects?limit=1.5', wrong('query.limit')),
  get('limit = NaN', '/projects?limit=NaN', wrong('query.limit')),
  get('an empty limit', '/projects?limit=', wrong('query.limit')),
  get('two limits', '/projects?limit=1&limit=2', wrong('query.limit')),
  get('a cursor that is none', '/projects?cursor=nonsense', wrong('query.cursor')),
  get('an empty cursor', '/projects?cursor=', wrong('query.cursor')),
  get('a cursor of another shape', `/projects?cursor=${cursor({ a: 1 })}`, wrong('query.cursor')),
  get(
    'a cursor nested deeply',
    `/projects?cursor=${Buffer.from('['.repeat(2000)).toString('base64url')}`,
    wrong('query.cursor'),
  ),
  get('a cursor of 4097 characters', `/projects?cursor=${'a'.repeat(4097)}`, wrong('query.cursor')),
  get('a cursor of keys that is none', '/projects/acme/api-keys?cursor=%7B%7D', wrong('query.cursor')),
  get(
    'a cursor of repositories of another shape',
    `/projects/acme/repositories?cursor=${cursor([1, 2, 3])}`,
    wrong('query.cursor'),
  ),
  get(
    'a cursor of tags of another shape',
    `/projects/acme/repositories/web/tags?cursor=${cursor(null)}`,
    wrong('query.cursor'),
  ),
  get(
    'a cursor of audit events of another shape',
    `/audit-events?cursor=${cursor('x')}`,
    wrong('query.cursor'),
  ),
  get('an audit action that is none', '/audit-events?action=DROP%20TABLE', wrong('query.action')),
  get('a state that nobody knows', '/projects/acme/api-keys?state=dead', wrong('query.state')),
  get('a URL of 9 KiB', `/projects?cursor=${'a'.repeat(9 * 1024)}`, { status: 414, code: 'uri_too_long' }),
  ofConsole('the registry on the console', { target: '/v2/' }, NOT_FOUND),
  ofConsole(
    'PUT',
    { method: 'PUT', target: '/api/v1/projects' },
    { status: 405, code: 'method_not_allowed', headers: { allow: /^GET, HEAD, POST$/ } },
  ),
  ofConsole(
    'DELETE of all projects',
    { method: 'DELETE', target: '/api/v1/projects' },
    { status: 405, code: 'method_not_allowed' },
  ),
  ofConsole('TRACE', { method: 'TRACE', target: '/api/v1/projects' }, NOT_FOUND),
  ofConsole('PROPFIND', { method: 'PROPFIND', target: '/api/v1/projects' }, NOT_FOUND),
  ofConsole(
    'OPTIONS of a browser',
    { method: 'OPTIONS', target: '/api/v1/projects', headers: ['Origin: https://evil.example'] },
    { ...NOT_FOUND, headers: { 'access-control-allow-origin': null } },
  ),
  ofConsole(
    'a delete without confirmation',
    { method: 'DELETE', target: '/api/v1/projects/acme' },
    { status: 409, code: 'confirmation_required' },
  ),
  ofConsole(
    'a delete with two confirmations',
    { method: 'DELETE', target: '/api/v1/projects/acme?confirm=acme&confirm=x' },
    wrong('query.confirm'),
  ),
]

const CREDENTIALS: readonly Row[] = [
  ...(
    [
      ['no token', null],
      ['an empty header', ''],
      ['a scheme alone', 'Bearer'],
      ['a wrong token', 'Bearer x'],
      ['a token of 2000 characters', `Bearer ${'x'.repeat(2000)}`],
      ['Basic', 'Basic eDp5'],
      ['bad base64', 'Basic !!!'],
    ] as const
  ).map(([name, authorization]) =>
    ofConsole(`credential: ${name}`, { target: '/api/v1/projects', authorization }, UNAUTHENTICATED),
  ),
  ofConsole(
    'credential: the operator token as Basic',
    (fixture) => ({
      target: '/api/v1/projects',
      authorization: `Basic ${Buffer.from(`operator:${fixture.operatorToken}`).toString('base64')}`,
    }),
    UNAUTHENTICATED,
  ),
  ofConsole(
    'credential: an API key',
    (fixture) => ({ target: '/api/v1/projects', authorization: `Bearer ${fixture.keyText}` }),
    UNAUTHENTICATED,
  ),
  ofConsole(
    'credential: an API key as Basic',
    (fixture) => ({ target: '/api/v1/projects', authorization: fixture.basic }),
    UNAUTHENTICATED,
  ),
  ofConsole(
    'credential: a token of the registry',
    (fixture) => ({ target: '/api/v1/projects', authorization: `Bearer ${fixture.accessToken}` }),
    UNAUTHENTICATED,
  ),
  ofConsole(
    'credential: a bad body without a token is 401',
    { method: 'POST', target: '/api/v1/projects', authorization: null, headers: [JSON_TYPE], body: '{' },
    UNAUTHENTICATED,
  ),
]

function cursor(place: unknown): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url')
}

/** The console's API. */
export const CONSOLE: readonly Row[] = [...BODIES, ...TYPES, ...PATHS, ...CREDENTIALS]
