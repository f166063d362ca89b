import { type Digest, parseDigest } from './digest.ts'
import { MAX_NAMESPACE_LENGTH, MAX_REPOSITORY_NAME_LENGTH, MIN_NAMESPACE_LENGTH } from './limits.ts'

declare const repositoryNameBrand: unique symbol
declare const namespaceBrand: unique symbol
declare const tagBrand: unique symbol

/** Full name of a repository, its project's namespace included: `acme/web/api`. */
export type RepositoryName = string & { readonly [repositoryNameBrand]: true }

/** First path component of every repository of one project. */
export type Namespace = string & { readonly [namespaceBrand]: true }

export type Tag = string & { readonly [tagBrand]: true }

/** What follows `/manifests/` in a URL: a tag, or a digest of a supported algorithm. */
export type Reference =
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'digest'; readonly digest: Digest }

// Distribution spec, "Pulling manifests". Each separator is disjoint from the characters around it, so a
// character can be matched in one way only and the time is linear in the length, which is bounded first.
const COMPONENT = '[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*'
const REPOSITORY_NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`)
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const NAMESPACE = /^[a-z0-9]+(?:-[a-z0-9]+)*$/

/** Words that are paths or could be mistaken for paths of the product itself. */
export const RESERVED_NAMESPACES: readonly string[] = [
  'v2',
  'auth',
  'token',
  'api',
  'catalog',
  'livez',
  'readyz',
  'metrics',
  'well-known',
]

/** Parses a repository name of at most 255 characters, or null. It may be a single component. */
export function parseRepositoryName(text: string): RepositoryName | null {
  if (text.length > MAX_REPOSITORY_NAME_LENGTH) return null
  return REPOSITORY_NAME.test(text) ? (text as RepositoryName) : null
}

/**
 * The first path component. It is the namespace of a project only if `parseNamespace` says so: the OCI grammar
 * of a component is wider (`a__b`, `a.b`), and such a name belongs to no project.
 */
export function namespaceOf(name: RepositoryName): string {
  const slash = name.indexOf('/')
  return slash === -1 ? name : name.slice(0, slash)
}

/** Parses a project's namespace (2 to 63 of `a-z0-9` with single inner hyphens, not reserved), or null. */
export function parseNamespace(text: string): Namespace | null {
  if (text.length < MIN_NAMESPACE_LENGTH || text.length > MAX_NAMESPACE_LENGTH) return null
  if (!NAMESPACE.test(text) || isReservedNamespace(text)) return null
  return text as Namespace
}

/** Whether the word is kept for the product, to say so when `parseNamespace` refuses it. */
export function isReservedNamespace(text: string): boolean {
  return RESERVED_NAMESPACES.includes(text)
}

/** Parses a tag, or null. */
export function parseTag(text: string): Tag | null {
  return TAG.test(text) ? (text as Tag) : null
}

/** Parses a tag or a digest, or null. A text with a colon can only be a digest. */
export function parseReference(text: string): Reference | null {
  if (text.includes(':')) {
    const digest = parseDigest(text)
    return digest === null ? null : { kind: 'digest', digest }
  }
  const tag = parseTag(text)
  return tag === null ? null : { kind: 'tag', tag }
}
