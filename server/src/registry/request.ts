import { type Digest, type DigestAlgorithm, parseDigest, parseDigestAlgorithm } from '@berth/oci/digest'
import { OciError } from '@berth/oci/errors'
import { type Page, parsePage } from '@berth/oci/link'
import { namespaceOf, parseReference, parseRepositoryName, parseTag } from '@berth/oci/name'
import type { Reference, RepositoryName, Tag } from '@berth/oci/name'
import {
  DEFAULT_PAGE_LIMIT,
  DEFAULT_REFERRERS_LIMIT,
  MAX_ARTIFACT_TYPE_LENGTH,
  MAX_PAGE_LIMIT,
  MAX_PATH_LENGTH,
  MAX_REFERRERS_LIMIT,
  MAX_TAG_PARAMETERS,
  MAX_URL_LENGTH,
} from './limits.ts'

/** A repository as it is named in a request. */
export interface RepositoryTarget {
  readonly name: RepositoryName
  readonly namespace: string
  /** Below the namespace. Empty for a name of one component, which no project can own. */
  readonly path: string
}

/** What a request asks for, by kind. `n` and `last` are in `page`, every digest and name has been checked. */
export type RegistryRequest = { readonly ns: string | null } & (
  | { readonly kind: 'ping' }
  | { readonly kind: 'token'; readonly method: 'GET' | 'POST'; readonly query: URLSearchParams }
  | { readonly kind: 'catalog'; readonly page: Page }
  | RepositoryRequest
)

export type RepositoryRequest = { readonly repository: RepositoryTarget } & (
  | { readonly kind: 'tag-list'; readonly page: Page }
  | {
      readonly kind: 'referrers'
      readonly subject: Digest
      readonly artifactType: string | null
      readonly page: Page
    }
  | { readonly kind: 'manifest-get'; readonly reference: Reference }
  | {
      readonly kind: 'manifest-put'
      readonly reference: Reference
      /** From `?tag=`, without duplicates. */
      readonly tags: readonly Tag[]
    }
  | { readonly kind: 'manifest-delete'; readonly reference: Reference }
  | { readonly kind: 'blob-get'; readonly digest: Digest }
  | { readonly kind: 'blob-delete'; readonly digest: Digest }
  | {
      readonly kind: 'upload-start'
      readonly digest: Digest | null
      readonly algorithm: DigestAlgorithm
      readonly mount: Digest | null
      readonly from: RepositoryTarget | null
    }
  | SessionRequest
)

/** A request about a running upload. */
export type SessionRequest = { readonly sessionId: string } & (
  | { readonly kind: 'upload-status' }
  | { readonly kind: 'upload-patch' }
  | { readonly kind: 'upload-put'; readonly digest: Digest }
  | { readonly kind: 'upload-cancel' }
)

type WithoutCommon<T> = T extends unknown ? Omit<T, 'ns' | 'repository'> : never
type Resource = {
  readonly methods: readonly string[]
  parse(method: string, query: URLSearchParams): WithoutCommon<RegistryRequest>
}

const PATH_CHARACTERS = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/%]*$/
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const CONTROL_CHARACTER = /\p{Cc}/u
const NO_QUERY = new URLSearchParams()

/**
 * Reads method and request target into a typed request. Pure. Percent-encoding is undone once, segment by segment,
 * and whatever could be read in two ways is refused: encoded slashes, empty and dot segments, control characters.
 *
 * Throws OciError: NAME_INVALID (400, 414 when too long), DIGEST_INVALID, MANIFEST_INVALID (a tag), UNSUPPORTED (405
 * with Allow, 400 for a query parameter, 404 for a path that is none of the API's), BLOB_UPLOAD_UNKNOWN.
 */
export function parseRequest(method: string, target: string): RegistryRequest {
  const { path, query } = splitTarget(target)
  const { resource, repository } = findResource(readSegments(path))
  if (!resource.methods.includes(method)) {
    const allow = resource.methods.join(', ')
    throw new OciError('UNSUPPORTED', `this resource answers to ${allow}`, { headers: { Allow: allow } })
  }
  const request = resource.parse(method, query)
  const common = { ...request, ns: query === NO_QUERY ? null : query.get('ns') }
  return (repository === null ? common : { ...common, repository }) as RegistryRequest
}

function splitTarget(target: string): { path: string; query: URLSearchParams } {
  if (target.length > MAX_URL_LENGTH)
    throw new OciError('NAME_INVALID', 'the URL is too long', { status: 414 })
  const local = target.startsWith('/') ? target : withoutOrigin(target)
  const mark = local.indexOf('?')
  const path = mark === -1 ? local : local.slice(0, mark)
  if (path.length > MAX_PATH_LENGTH)
    throw new OciError('NAME_INVALID', 'the path is too long', { status: 414 })
  return { path, query: mark === -1 ? NO_QUERY : new URLSearchParams(local.slice(mark + 1)) }
}

// RFC 9112 section 3.2.2: a server takes the absolute form too. The authority in it is not looked at.
function withoutOrigin(target: string): string {
  const match = /^https?:\/\/[^/?#]+(\/.*)$/i.exec(target)
  if (match?.[1] === undefined) throw new OciError('NAME_INVALID', 'the request target is malformed')
  return match[1]
}

function readSegments(path: string): string[] {
  if (!PATH_CHARACTERS.test(path))
    throw new OciError('NAME_INVALID', 'the path has characters that need encoding')
  const segments = path.slice(1).split('/').map(decodeSegment)
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1
    if ((segment === '' && !isLast) || segment === '.' || segment === '..') {
      throw new OciError('NAME_INVALID', 'the path has an empty or dot segment')
    }
  }
  return segments
}

function decodeSegment(segment: string): string {
  if (!segment.includes('%')) return segment
  let decoded: string
  try {
    decoded = decodeURIComponent(segment)
  } catch {
    throw new OciError('NAME_INVALID', 'the path is not valid percent-encoding')
  }
  if (/[/\\%]/.test(decoded) || CONTROL_CHARACTER.test(decoded)) {
    throw new OciError('NAME_INVALID', 'the path has an encoded character that is not allowed')
  }
  return decoded
}

interface Found {
  readonly resource: Resource
  readonly repository: RepositoryTarget | null
}

// Read from the end: a repository may be called `acme/blobs/uploads`.
function findResource(segments: readonly string[]): Found {
  const [first, second, third] = segments
  const last = segments.at(-1) ?? ''
  const verb = segments.at(-2)
  if (first === 'auth' && second === 'token' && segments.length === 2) return global(TOKEN)
  if (first !== 'v2') throw unknownPath()
  if (segments.length === 1 || (segments.length === 2 && second === '')) return global(PING)
  if (second === '_catalog' && third === undefined) return global(CATALOG)
  if (segments.at(-3) === 'blobs' && verb === 'uploads') {
    return within(segments, 3, last === '' ? UPLOADS : upload(last))
  }
  if (verb === 'blobs' && last === 'uploads') return within(segments, 2, UPLOADS)
  if (last === '') throw unknownPath()
  if (verb === 'blobs') return within(segments, 2, blob(last))
  if (verb === 'manifests') return within(segments, 2, manifest(last))
  if (verb === 'tags' && last === 'list') return within(segments, 2, TAG_LIST)
  if (verb === 'referrers') return within(segments, 2, referrers(last))
  throw unknownPath()
}

function global(resource: Resource): Found {
  return { resource, repository: null }
}

function within(segments: readonly string[], suffixLength: number, resource: Resource): Found {
  return { resource, repository: readRepository(segments.slice(1, -suffixLength).join('/')) }
}

function unknownPath(): OciError {
  return new OciError('UNSUPPORTED', 'there is nothing at this path', { status: 404 })
}

/** Parses a repository name as it stands in a path or in `from`. Throws NAME_INVALID. */
function readRepository(text: string): RepositoryTarget {
  const name = parseRepositoryName(text)
  if (name === null) throw new OciError('NAME_INVALID')
  const namespace = namespaceOf(name)
  return { name, namespace, path: name.slice(namespace.length + 1) }
}

const PING: Resource = { methods: ['GET', 'HEAD'], parse: () => ({ kind: 'ping' }) }

const TOKEN: Resource = {
  methods: ['GET', 'POST'],
  parse: (method, query) => ({ kind: 'token', method: method as 'GET' | 'POST', query }),
}

const CATALOG: Resource = {
  methods: ['GET', 'HEAD'],
  parse: (_, query) => ({ kind: 'catalog', page: readPage(query, DEFAULT_PAGE_LIMIT, MAX_PAGE_LIMIT) }),
}

const TAG_LIST: Resource = {
  methods: ['GET', 'HEAD'],
  parse: (_, query) => ({ kind: 'tag-list', page: readPage(query, DEFAULT_PAGE_LIMIT, MAX_PAGE_LIMIT) }),
}

const UPLOADS: Resource = {
  methods: ['POST'],
  parse: (_, query) => {
    const digest = readDigestParameter(query, 'digest')
    const mount = readDigestParameter(query, 'mount')
    const from = single(query, 'from')
    return {
      kind: 'upload-start',
      digest,
      algorithm: readAlgorithm(query, digest),
      mount,
      from: mount === null || from === null ? null : readRepository(from),
    }
  },
}

function upload(sessionId: string): Resource {
  return {
    methods: ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'],
    parse: (method, query) => {
      if (!UUID.test(sessionId)) throw new OciError('BLOB_UPLOAD_UNKNOWN')
      if (method === 'PATCH') return { kind: 'upload-patch', sessionId }
      if (method === 'DELETE') return { kind: 'upload-cancel', sessionId }
      if (method !== 'PUT') return { kind: 'upload-status', sessionId }
      const digest = readDigestParameter(query, 'digest')
      if (digest === null) throw new OciError('DIGEST_INVALID', 'the digest parameter is missing')
      return { kind: 'upload-put', sessionId, digest }
    },
  }
}

function blob(text: string): Resource {
  return {
    methods: ['GET', 'HEAD', 'DELETE'],
    parse: (method) => {
      const digest = readDigest(text)
      return method === 'DELETE' ? { kind: 'blob-delete', digest } : { kind: 'blob-get', digest }
    },
  }
}

function manifest(text: string): Resource {
  return {
    methods: ['GET', 'HEAD', 'PUT', 'DELETE'],
    parse: (method, query) => {
      const reference = readReference(text)
      if (method === 'DELETE') return { kind: 'manifest-delete', reference }
      if (method === 'PUT')
        return { kind: 'manifest-put', reference, tags: readTagParameters(query, reference) }
      return { kind: 'manifest-get', reference }
    },
  }
}

function referrers(text: string): Resource {
  return {
    methods: ['GET', 'HEAD'],
    parse: (_, query) => ({
      kind: 'referrers',
      subject: readDigest(text),
      artifactType: readArtifactType(query),
      page: readPage(query, DEFAULT_REFERRERS_LIMIT, MAX_REFERRERS_LIMIT),
    }),
  }
}

function readDigest(text: string): Digest {
  const digest = parseDigest(text)
  if (digest === null) throw new OciError('DIGEST_INVALID', 'not a sha256 or sha512 digest')
  return digest
}

function readReference(text: string): Reference {
  const reference = parseReference(text)
  if (reference !== null) return reference
  if (text.includes(':')) throw new OciError('DIGEST_INVALID', 'not a sha256 or sha512 digest')
  throw new OciError('MANIFEST_INVALID', 'not a valid tag')
}

/** The one value of a parameter, or null when it is absent. */
function single(query: URLSearchParams, name: string): string | null {
  if (query === NO_QUERY) return null
  const values = query.getAll(name)
  if (values.length > 1) throw badParameter(`${name} is given more than once`)
  return values[0] ?? null
}

function badParameter(message: string): OciError {
  return new OciError('UNSUPPORTED', message, { status: 400 })
}

function readPage(query: URLSearchParams, defaultLimit: number, maxLimit: number): Page {
  const parsed = parsePage(query, defaultLimit, maxLimit)
  if (!parsed.ok) throw badParameter(parsed.message)
  return parsed.page
}

function readDigestParameter(query: URLSearchParams, name: 'digest' | 'mount'): Digest | null {
  const text = single(query, name)
  return text === null ? null : readDigest(text)
}

function readAlgorithm(query: URLSearchParams, digest: Digest | null): DigestAlgorithm {
  const text = single(query, 'digest-algorithm')
  if (text === null) return digest?.startsWith('sha512:') ? 'sha512' : 'sha256'
  const algorithm = parseDigestAlgorithm(text)
  if (algorithm === null) throw new OciError('DIGEST_INVALID', 'digest-algorithm must be sha256 or sha512')
  return algorithm
}

function readTagParameters(query: URLSearchParams, reference: Reference): Tag[] {
  const values = query === NO_QUERY ? [] : query.getAll('tag')
  if (values.length === 0) return []
  if (reference.kind === 'tag') throw badParameter('the tag parameter needs a push by digest')
  if (values.length > MAX_TAG_PARAMETERS) {
    throw new OciError('UNSUPPORTED', `at most ${MAX_TAG_PARAMETERS} tag parameters`, { status: 414 })
  }
  const tags = values.map((value) => {
    const tag = parseTag(value)
    if (tag === null) throw new OciError('MANIFEST_INVALID', 'a tag parameter is not a valid tag')
    return tag
  })
  return [...new Set(tags)]
}

// A query decodes `+` to a space, and clients do send `application/x+json` as it is. No media type has a space.
function readArtifactType(query: URLSearchParams): string | null {
  const text = single(query, 'artifactType')?.replaceAll(' ', '+') ?? ''
  if (text.length > MAX_ARTIFACT_TYPE_LENGTH || CONTROL_CHARACTER.test(text)) {
    throw badParameter('artifactType is not a media type')
  }
  return text === '' ? null : text
}
