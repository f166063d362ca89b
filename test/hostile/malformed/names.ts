import { BAD_PARAMETER, MANIFEST_INVALID, NAME_INVALID, ofRegistry, type Row } from './row.ts'

const NAME_UNKNOWN = { status: 404, code: 'NAME_UNKNOWN' } as const
const OK = { status: 200, code: null } as const

function name(
  what: string,
  repository: string,
  answer: Parameters<typeof ofRegistry>[2] = NAME_INVALID,
): Row {
  return ofRegistry(what, { target: `/v2/${repository}/tags/list` }, answer)
}

function tag(what: string, text: string, answer: Parameters<typeof ofRegistry>[2] = MANIFEST_INVALID): Row {
  return ofRegistry(what, { target: `/v2/acme/web/manifests/${text}` }, answer)
}

function list(what: string, query: string, answer: Parameters<typeof ofRegistry>[2] = BAD_PARAMETER): Row {
  return ofRegistry(what, { target: `/v2/acme/web/tags/list?${query}` }, answer)
}

/** Names, tags, and the parameters of lists. */
export const NAMES: readonly Row[] = [
  name('a name of 256 characters', `acme/${'a'.repeat(251)}`),
  name('a name of 255 characters', `acme/${'a'.repeat(250)}`, NAME_UNKNOWN),
  name('upper case', 'acme/Web'),
  name('upper case in the namespace', 'Acme/web'),
  name('a leading hyphen', 'acme/-web'),
  name('a trailing hyphen', 'acme/web-'),
  name('a leading dot', 'acme/.web'),
  name('two dots', 'acme/w..eb'),
  name('three underscores', 'acme/w___eb'),
  name('a dot and a hyphen', 'acme/w.-eb'),
  name('a trailing underscore', 'acme/web_'),
  name('a port', 'localhost:5000/acme/web'),
  name('an at sign', 'acme/web@x'),
  name('a plus sign', 'acme/web+x'),
  name('a tilde', '~acme/web'),
  name('a Cyrillic letter that looks Latin', 'acme/w%d0%b5b'),
  name('full-width letters', 'acme/%ef%bd%97eb'),
  name('the Kelvin sign', 'acme/%e2%84%aaub'),
  name('a soft hyphen', 'acme/w%c2%adeb'),
  name('a right-to-left mark', 'acme/web%e2%80%8f'),
  name('a zero-width joiner', 'acme/we%e2%80%8db'),
  name('a letter with a combining accent', 'acme/we%cc%81b'),
  name('an emoji', 'acme/%f0%9f%90%b3'),
  name('a name of one component', 'web', NAME_UNKNOWN),
  name('a namespace that no project can have', 'a.b/web', NAME_UNKNOWN),
  name('a reserved namespace', 'v2/web', NAME_UNKNOWN),
  name('an object key of JavaScript', '__proto__/web'),
  name('constructor as namespace', 'constructor/prototype', NAME_UNKNOWN),
  name('100 components', `acme/${Array.from({ length: 100 }, () => 'a').join('/')}`, NAME_UNKNOWN),
  tag('a tag of 129 characters', 'a'.repeat(129)),
  tag('a tag with a leading dot', '.latest'),
  tag('a tag with a leading hyphen', '-latest'),
  tag('a tag with a space', 'lat%20est'),
  tag('a tag with a plus', 'v1+build'),
  tag('a tag beyond ASCII', 'lat%c3%a9st'),
  tag('a tag with an at sign', 'latest@x'),
  ofRegistry(
    'a tag parameter that is none',
    (fixture) => ({
      method: 'PUT',
      target: `/v2/acme/web/manifests/${fixture.manifest.digest}?tag=.x`,
      body: '{}',
    }),
    MANIFEST_INVALID,
  ),
  ofRegistry(
    '101 tag parameters',
    (fixture) => ({
      method: 'PUT',
      target: `/v2/acme/web/manifests/${fixture.manifest.digest}?${Array.from({ length: 101 }, (_, n) => `tag=t${n}`).join('&')}`,
      body: '{}',
    }),
    { status: 414, code: 'UNSUPPORTED' },
  ),
  ofRegistry(
    'a tag parameter on a push by tag',
    { method: 'PUT', target: '/v2/acme/web/manifests/latest?tag=x', body: '{}' },
    BAD_PARAMETER,
  ),
  list('n = -1', 'n=-1'),
  list('n = 1e9', 'n=1e9'),
  list('n = 1.5', 'n=1.5'),
  list('n = 0x10', 'n=0x10'),
  list('n of 16 digits', 'n=9999999999999999'),
  list('n of 10 000 digits', `n=${'9'.repeat(10_000)}`),
  list('n = NaN', 'n=NaN'),
  list('n without a value', 'n='),
  list('n with a space', 'n=%201'),
  list('n in Arabic digits', 'n=%d9%a1'),
  list('n twice', 'n=1&n=2'),
  list('n = 1000000000 is cut to the limit', 'n=1000000000', OK),
  list('n = 0 is an empty list', 'n=0', {
    ...OK,
    headers: { link: null },
    body: () => Buffer.from('{"name":"acme/web","tags":[]}'),
  }),
  list('last = NUL', 'last=%00'),
  list('last with a line break', 'last=a%0d%0ab'),
  list('last of 256 characters', `last=${'a'.repeat(256)}`),
  list('last twice', 'last=a&last=b'),
  list('last that is not UTF-8', 'last=%ff', OK),
  list('last with quotes of SQL', "last='%20OR%201=1%20--", OK),
  ofRegistry('n = -1 of the catalog', { target: '/v2/_catalog?n=-1' }, BAD_PARAMETER),
  ofRegistry('last = NUL of the catalog', { target: '/v2/_catalog?last=%00' }, BAD_PARAMETER),
  ofRegistry(
    'last in another namespace of the catalog',
    { target: '/v2/_catalog?last=zzz/zzz' },
    { ...OK, headers: { link: null }, body: () => Buffer.from('{"repositories":[]}') },
  ),
  ofRegistry(
    'n = -1 of referrers',
    (fixture) => ({ target: `/v2/acme/web/referrers/${fixture.manifest.digest}?n=-1` }),
    BAD_PARAMETER,
  ),
  ofRegistry(
    'an artifactType of 256 characters',
    (fixture) => ({
      target: `/v2/acme/web/referrers/${fixture.manifest.digest}?artifactType=${'a'.repeat(256)}`,
    }),
    BAD_PARAMETER,
  ),
  ofRegistry(
    'an artifactType with a line break',
    (fixture) => ({ target: `/v2/acme/web/referrers/${fixture.manifest.digest}?artifactType=a%0d%0aX:%201` }),
    BAD_PARAMETER,
  ),
  ofRegistry(
    'an artifactType twice',
    (fixture) => ({
      target: `/v2/acme/web/referrers/${fixture.manifest.digest}?artifactType=a/b&artifactType=c/d`,
    }),
    BAD_PARAMETER,
  ),
]
