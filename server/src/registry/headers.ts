import { PRIVATE_CACHE_SECONDS, PUBLIC_CACHE_SECONDS } from './limits.ts'

/**
 * On every answer. What is served is inert in a browser: no sniffing of types, and nothing that a document could do
 * if it were shown. Shared caches keep answers apart by credential.
 */
export const COMMON_HEADERS = {
  'Docker-Distribution-Api-Version': 'registry/2.0',
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
  Vary: 'Authorization',
} as const

/** Caching of an answer that must not be kept: errors, tokens, uploads. */
export const NO_STORE = { 'Cache-Control': 'no-store' } as const

/**
 * Caching of content. By digest it never changes; what a tag or list says must be asked again. Only what anyone may
 * pull is for shared caches, and not for long: the repository may become private.
 */
export function cacheHeaders(content: { isPublic: boolean; isImmutable: boolean }): {
  'Cache-Control': string
} {
  const audience = content.isPublic ? 'public' : 'private'
  if (!content.isImmutable) return { 'Cache-Control': `${audience}, no-cache` }
  const seconds = content.isPublic ? PUBLIC_CACHE_SECONDS : PRIVATE_CACHE_SECONDS
  return { 'Cache-Control': `${audience}, max-age=${seconds}, immutable` }
}

/** Strong entity tag of content with this digest. */
export function entityTag(digest: string): string {
  return `"${digest}"`
}

/** Whether an If-None-Match header names the entity tag (RFC 9110 section 13.1.2: compared weakly). */
export function matchesEntityTag(ifNoneMatch: string, etag: string): boolean {
  if (ifNoneMatch.trim() === '*') return true
  return ifNoneMatch.split(',').some((candidate) => candidate.trim().replace(/^W\//, '') === etag)
}

/**
 * `Warning` as the distribution spec allows it: code 299, agent `-`, no date. The text is ours: printable ASCII
 * without quotes.
 */
export function warningHeader(text: string): { Warning: string } {
  return { Warning: `299 - "${text}"` }
}
