import { slice, type Blob } from './content.ts'
import type { PlannedRequest } from './load/plan.ts'

/** The media type of all manifests here. */
export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'

const BLOB_TYPE = 'application/octet-stream'
const MANIFEST_ACCEPT = [
  MANIFEST_TYPE,
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
].join(', ')

/** Frame size of a streamed PATCH: Go's `io.Copy`, with which docker and podman send, writes 32 KiB at a time. */
const STREAM_FRAME_BYTES = 32 * 1024

/** The repository that a request is for, and the headers (Host, Authorization, User-Agent) that all of its requests carry. */
export interface Target {
  readonly repository: string
  readonly headers: Readonly<Record<string, string>>
}

/** `HEAD` of a blob that is there, or is not. */
export function headBlob(target: Target, blob: Blob, exists: boolean): PlannedRequest {
  return {
    label: 'HEAD blob',
    method: 'HEAD',
    target: `/v2/${target.repository}/blobs/${blob.digest}`,
    headers: target.headers,
    expect: [exists ? 200 : 404],
    ...(exists ? { responseBytes: blob.sizeBytes } : {}),
  }
}

/** `GET` of a blob. */
export function getBlob(target: Target, blob: Blob): PlannedRequest {
  return {
    label: 'GET blob',
    method: 'GET',
    target: `/v2/${target.repository}/blobs/${blob.digest}`,
    headers: target.headers,
    expect: [200],
    responseBytes: blob.sizeBytes,
  }
}

/** `POST`, then one `PUT` with the whole blob: containerd's and buildkit's way. */
export function pushMonolithic(target: Target, blob: Blob): PlannedRequest[] {
  const put: PlannedRequest = {
    label: 'PUT blob',
    method: 'PUT',
    target: `@?digest=${blob.digest}`,
    headers: { ...target.headers, 'Content-Type': BLOB_TYPE },
    body: blob.parts,
    expect: [201],
  }
  return [postUpload(target), put]
}

/** `POST`, one `PATCH` of unknown length with chunked transfer encoding, an empty `PUT`: docker's and podman's way. */
export function pushStreamed(target: Target, blob: Blob): PlannedRequest[] {
  const patch: PlannedRequest = {
    label: 'PATCH',
    method: 'PATCH',
    target: '@',
    headers: { ...target.headers, 'Content-Type': BLOB_TYPE },
    body: blob.parts,
    frameBytes: STREAM_FRAME_BYTES,
    expect: [202],
  }
  return [postUpload(target), patch, putUpload(target, blob)]
}

/** `POST`, a `PATCH` with Content-Range for each chunk, an empty `PUT`: regclient's and oras' way with a chunk size. */
export function pushChunked(target: Target, blob: Blob, chunkBytes: number): PlannedRequest[] {
  const patches: PlannedRequest[] = []
  for (let offset = 0; offset < blob.sizeBytes; offset += chunkBytes) {
    const size = Math.min(chunkBytes, blob.sizeBytes - offset)
    patches.push({
      label: 'PATCH',
      method: 'PATCH',
      target: '@',
      headers: {
        ...target.headers,
        'Content-Type': BLOB_TYPE,
        'Content-Range': `${offset}-${offset + size - 1}`,
      },
      body: slice(blob, offset, size),
      expect: [202],
    })
  }
  return [postUpload(target), ...patches, putUpload(target, blob)]
}

/** `POST` that mounts a blob of another repository. Only 201 is right: 202 would start an upload. */
export function mountBlob(target: Target, blob: Blob, from: string): PlannedRequest {
  return {
    label: 'POST mount',
    method: 'POST',
    target: `/v2/${target.repository}/blobs/uploads/?mount=${blob.digest}&from=${from}`,
    headers: target.headers,
    expect: [201],
  }
}

/** `GET` or `HEAD` of a manifest that is there; `sizeBytes` is its size. */
export function readManifest(
  method: 'GET' | 'HEAD',
  target: Target,
  reference: string,
  sizeBytes: number,
): PlannedRequest {
  return {
    label: `${method} manifest`,
    method,
    target: `/v2/${target.repository}/manifests/${reference}`,
    headers: { ...target.headers, Accept: MANIFEST_ACCEPT },
    expect: [200],
    responseBytes: sizeBytes,
  }
}

/** `HEAD` of a manifest that is not there yet. */
export function headMissingManifest(target: Target, reference: string): PlannedRequest {
  return {
    label: 'HEAD manifest',
    method: 'HEAD',
    target: `/v2/${target.repository}/manifests/${reference}`,
    headers: { ...target.headers, Accept: MANIFEST_ACCEPT },
    expect: [404],
  }
}

/** `PUT` of a manifest. */
export function putManifest(target: Target, reference: string, manifest: Blob): PlannedRequest {
  return {
    label: 'PUT manifest',
    method: 'PUT',
    target: `/v2/${target.repository}/manifests/${reference}`,
    headers: { ...target.headers, 'Content-Type': MANIFEST_TYPE },
    body: manifest.parts,
    expect: [201],
  }
}

function postUpload(target: Target): PlannedRequest {
  return {
    label: 'POST upload',
    method: 'POST',
    target: `/v2/${target.repository}/blobs/uploads/`,
    headers: target.headers,
    expect: [202],
  }
}

function putUpload(target: Target, blob: Blob): PlannedRequest {
  return {
    label: 'PUT upload',
    method: 'PUT',
    target: `@?digest=${blob.digest}`,
    headers: target.headers,
    expect: [201],
  }
}
