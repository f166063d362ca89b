import assert from 'node:assert/strict'
import type { Reply } from './client.ts'

/** The codes of the distribution spec ("Error Codes"). */
export const errorCodes = [
  'BLOB_UNKNOWN',
  'BLOB_UPLOAD_INVALID',
  'BLOB_UPLOAD_UNKNOWN',
  'DIGEST_INVALID',
  'MANIFEST_BLOB_UNKNOWN',
  'MANIFEST_INVALID',
  'MANIFEST_UNKNOWN',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'SIZE_INVALID',
  'UNAUTHORIZED',
  'DENIED',
  'UNSUPPORTED',
  'TOOMANYREQUESTS',
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** The status is one of these; the message shows what came instead. */
export function expectStatus(reply: Reply, ...allowed: readonly number[]): void {
  const shown = `${reply.url.pathname}${reply.url.search} answered ${reply.status}: ${reply.body.toString().slice(0, 500)}`
  assert.ok(allowed.includes(reply.status), `expected ${allowed.join(' or ')}; ${shown}`)
}

/** An error answer in the form of the spec, with this status and code. Returns its message. */
export function expectError(reply: Reply, status: number, code: ErrorCode): string {
  expectStatus(reply, status)
  assert.match(String(reply.headers['content-type']), /^application\/json\b/)
  const body = parseJson(reply) as { errors?: unknown }
  assert.deepEqual(Object.keys(body), ['errors'])
  assert.ok(Array.isArray(body.errors) && body.errors.length > 0, 'errors is a list that is not empty')
  for (const entry of body.errors as Record<string, unknown>[]) {
    assert.ok(
      (errorCodes as readonly unknown[]).includes(entry['code']),
      `unknown code ${String(entry['code'])}`,
    )
    assert.match(String(entry['code']), /^[A-Z_]+$/)
    assert.equal(typeof entry['message'], 'string')
    assert.ok('detail' in entry)
  }
  const [first] = body.errors as { code: string; message: string }[]
  assert.equal(first?.code, code)
  return first?.message ?? ''
}

/** The body as JSON. */
export function parseJson(reply: Reply): unknown {
  return JSON.parse(reply.body.toString())
}

/** Docker-Content-Digest names this digest. It may be missing where the spec only says SHOULD. */
export function expectDigestHeader(reply: Reply, digest: string, isRequired: boolean): void {
  const value = reply.headers['docker-content-digest']
  if (value === undefined && !isRequired) return
  assert.equal(value, digest, 'Docker-Content-Digest')
}

/** Content-Length is there and says this many bytes. */
export function expectLength(reply: Reply, sizeBytes: number): void {
  assert.equal(reply.headers['content-length'], String(sizeBytes), 'Content-Length')
}

/** Exactly these bytes, announced with their length. */
export function expectContent(reply: Reply, content: Buffer): void {
  expectLength(reply, content.byteLength)
  assert.ok(
    reply.body.equals(content),
    `${reply.body.byteLength} bytes came, they differ from what was pushed`,
  )
}
