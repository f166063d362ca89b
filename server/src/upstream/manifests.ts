import { type Digest, digestAlgorithm, digestOf, parseDigest } from '@berth/oci/digest'
import { parseMediaType } from '@berth/oci/media-type'
import { parseReference } from '@berth/oci/name'
import type { FollowedResponse } from '../outgoing/follow-redirects.ts'
import { discardBody, readBody } from '../outgoing/read-body.ts'
import { BLOB_BODY_TIMEOUT_MS, MAX_MANIFEST_BYTES } from './limits.ts'
import { readRateLimit } from './rate-limit.ts'
import type { RegistryCaller } from './registry-call.ts'
import type { RegistryPlace } from './registry-place.ts'
import type { CallOptions } from './call-options.ts'
import type { UpstreamBlob, UpstreamManifest, UpstreamManifestHead } from './upstream.ts'
import { toUpstreamError, UpstreamError } from './upstream-error.ts'

/** One manifest of a repository. */
export interface ManifestRequest extends CallOptions {
  /** As the registry knows it. */
  readonly repository: string
  readonly reference: string
  readonly accept: readonly string[]
  readonly ifNoneMatch?: Digest
}

/** Fetches a manifest and checks its digest. Null: there is none. Throws `UpstreamError`. */
export async function fetchManifest(
  caller: RegistryCaller,
  place: RegistryPlace,
  request: ManifestRequest,
): Promise<UpstreamManifest | 'not_modified' | null> {
  const wanted = parseReference(request.reference)
  if (wanted === null) return null
  const response = await caller.call(manifestCall('GET', request), [304, 404])
  if (response.status === 304) return 'not_modified'
  if (response.status === 404) return absent(response)
  try {
    const mediaType = mediaTypeOf(response, place)
    const bytes = await readBody(response)
    const named = wanted.kind === 'digest' ? wanted.digest : parseDigest(digestHeader(response) ?? '')
    const digest = digestOf(named === null ? 'sha256' : digestAlgorithm(named), bytes)
    if (named !== null && named !== digest) throw wrongDigest(place)
    return { digest, mediaType, bytes, rateLimit: readRateLimit(response.headers) }
  } catch (error) {
    discardBody(response)
    throw toUpstreamError(error)
  }
}

/** Asks about a manifest without fetching it. Null: there is none. Throws `UpstreamError`. */
export async function headManifest(
  caller: RegistryCaller,
  place: RegistryPlace,
  request: ManifestRequest,
): Promise<UpstreamManifestHead | null> {
  if (parseReference(request.reference) === null) return null
  const response = await caller.call(manifestCall('HEAD', request), [404])
  discardBody(response)
  if (response.status === 404) return null
  return {
    digest: parseDigest(digestHeader(response) ?? ''),
    mediaType: mediaTypeOf(response, place),
    sizeBytes: announcedBytes(response),
    rateLimit: readRateLimit(response.headers),
  }
}

/** One blob of a repository. */
export interface BlobRequest extends CallOptions {
  readonly repository: string
  readonly digest: Digest
  readonly maxBytes: number
}

/** Starts to fetch a blob. Null: there is none. Throws `UpstreamError`. */
export async function fetchBlob(
  caller: RegistryCaller,
  place: RegistryPlace,
  { repository, digest, ...request }: BlobRequest,
): Promise<UpstreamBlob | null> {
  const call = {
    ...request,
    path: `/v2/${repository}/blobs/${digest}`,
    scope: pullScope(repository),
    headers: { accept: 'application/octet-stream, */*' },
    bodyTimeoutMs: BLOB_BODY_TIMEOUT_MS,
  }
  const response = await caller.call(call, [404])
  if (response.status === 404) return absent(response)
  if (isEncoded(response)) {
    discardBody(response)
    throw badAnswer(place, 'compresses a blob on the way, though it was asked not to')
  }
  return { sizeBytes: announcedBytes(response), body: response.body }
}

/** The scope of a token for reading one repository. */
export function pullScope(repository: string): string {
  return `repository:${repository}:pull`
}

/** Ends the exchange; for what is not there. */
function absent(response: FollowedResponse): null {
  discardBody(response)
  return null
}

function manifestCall(method: 'GET' | 'HEAD', request: ManifestRequest) {
  const { repository, reference, accept, ifNoneMatch, ...call } = request
  const headers: Record<string, string> = { accept: accept.join(', ') }
  if (ifNoneMatch !== undefined) headers['if-none-match'] = `"${ifNoneMatch}"`
  return {
    ...call,
    method,
    path: `/v2/${repository}/manifests/${reference}`,
    scope: pullScope(repository),
    headers,
    maxBytes: MAX_MANIFEST_BYTES,
  }
}

function mediaTypeOf(response: FollowedResponse, place: RegistryPlace): string {
  const mediaType = parseMediaType(response.headers['content-type'] ?? '')
  if (mediaType !== null && !isEncoded(response)) return mediaType
  discardBody(response)
  throw badAnswer(place, 'answered with something that is not a manifest')
}

function isEncoded(response: FollowedResponse): boolean {
  const encoding = response.headers['content-encoding']
  return encoding !== undefined && encoding !== '' && encoding !== 'identity'
}

function digestHeader(response: FollowedResponse): string | undefined {
  const header = response.headers['docker-content-digest']
  return Array.isArray(header) ? header[0] : header
}

function announcedBytes(response: FollowedResponse): number | null {
  const text = response.headers['content-length']
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : null
}

function wrongDigest(place: RegistryPlace): UpstreamError {
  return badAnswer(place, 'sent a manifest that does not have the digest it was asked for or says it has')
}

function badAnswer(place: RegistryPlace, what: string): UpstreamError {
  return new UpstreamError({
    reason: 'bad_answer',
    message: `${place.name} ${what}`,
    nextStep: 'Nothing was kept. If it happens again, tell whoever runs that registry.',
  })
}
