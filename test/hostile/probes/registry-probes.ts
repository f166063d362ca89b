/** A row for every kind of request of the data plane: how to ask for a thing that may or may not be there. */
import type { RegistryRequest } from '../../../server/src/registry/request.ts'
import { ociManifest } from '../fixture.ts'
import type { Probe } from './probe.ts'

/** What a request names. All targets have names of the same lengths. */
export interface Target {
  readonly repository: string
  readonly tag: string
  readonly manifest: string
  readonly blob: string
  readonly session: string
}

/** Names of a target, as answers may repeat them. */
export function namesOf(target: Target): string[] {
  return [target.repository, target.tag, target.manifest, target.blob, target.session]
}

const RANDOM_BLOB = `sha256:${'ab'.repeat(32)}`

/** A kind without a row does not compile; the test checks the same at run time. `own`: the caller's own repository. */
export const REGISTRY_PROBES: Readonly<
  Record<RegistryRequest['kind'], (target: Target, own: string) => readonly Probe[]>
> = {
  ping: () => [{ method: 'GET', target: '/v2/' }],
  token: ({ repository }) =>
    ['pull', 'pull,push', 'delete', '*'].flatMap((actions) => [
      { method: 'GET', target: `/auth/token?scope=repository:${repository}:${actions}` },
      { method: 'GET', target: `/auth/token?scope=repository:${repository}:${actions}&offline_token=true` },
    ]),
  catalog: ({ repository }) => [
    { method: 'GET', target: '/v2/_catalog' },
    { method: 'GET', target: `/v2/_catalog?n=1&last=${repository}` },
  ],
  'tag-list': ({ repository, tag }) => [
    { method: 'GET', target: `/v2/${repository}/tags/list` },
    { method: 'HEAD', target: `/v2/${repository}/tags/list` },
    { method: 'GET', target: `/v2/${repository}/tags/list?n=1&last=${tag}` },
  ],
  referrers: ({ repository, manifest }) => [
    { method: 'GET', target: `/v2/${repository}/referrers/${manifest}` },
    { method: 'GET', target: `/v2/${repository}/referrers/${manifest}?artifactType=a/b` },
  ],
  'manifest-get': ({ repository, tag, manifest }) =>
    [tag, manifest].flatMap((reference) => [
      { method: 'GET', target: `/v2/${repository}/manifests/${reference}` },
      { method: 'HEAD', target: `/v2/${repository}/manifests/${reference}` },
      {
        method: 'GET',
        target: `/v2/${repository}/manifests/${reference}`,
        headers: { 'If-None-Match': `"${manifest}"` },
      },
    ]),
  'manifest-put': ({ repository, tag, manifest }) =>
    [tag, manifest].map((reference) => ({
      method: 'PUT',
      target: `/v2/${repository}/manifests/${reference}`,
      headers: { 'Content-Type': ociManifest },
      body: '{"schemaVersion":2}',
    })),
  'manifest-delete': ({ repository, tag, manifest }) =>
    [tag, manifest].map((reference) => ({
      method: 'DELETE',
      target: `/v2/${repository}/manifests/${reference}`,
    })),
  'blob-get': ({ repository, blob }) => [
    { method: 'GET', target: `/v2/${repository}/blobs/${blob}` },
    { method: 'HEAD', target: `/v2/${repository}/blobs/${blob}` },
    { method: 'GET', target: `/v2/${repository}/blobs/${blob}`, headers: { Range: 'bytes=0-0' } },
    { method: 'GET', target: `/v2/${repository}/blobs/${blob}`, headers: { Range: 'bytes=9999999-' } },
    { method: 'GET', target: `/v2/${repository}/blobs/${blob}`, headers: { 'If-None-Match': `"${blob}"` } },
  ],
  'blob-delete': ({ repository, blob }) => [{ method: 'DELETE', target: `/v2/${repository}/blobs/${blob}` }],
  'upload-start': ({ repository, blob }, own) => [
    { method: 'POST', target: `/v2/${repository}/blobs/uploads/`, body: '' },
    { method: 'POST', target: `/v2/${repository}/blobs/uploads/?mount=${blob}&from=${own}`, body: '' },
    { method: 'POST', target: `/v2/${own}/blobs/uploads/?mount=${blob}&from=${repository}`, body: '' },
    { method: 'POST', target: `/v2/${own}/blobs/uploads/?mount=${blob}`, body: '' },
    { method: 'POST', target: `/v2/${repository}/blobs/uploads/?digest=${RANDOM_BLOB}`, body: 'x' },
  ],
  'upload-status': (target, own) => sessions(target, own).map((path) => ({ method: 'GET', target: path })),
  'upload-patch': (target, own) =>
    sessions(target, own).flatMap((path) => [
      { method: 'PATCH', target: path, body: 'x' },
      { method: 'PATCH', target: path, headers: { 'Content-Range': '5-5' }, body: 'x' },
    ]),
  'upload-put': (target, own) =>
    sessions(target, own).map((path) => ({
      method: 'PUT',
      target: `${path}?digest=${RANDOM_BLOB}`,
      body: '',
    })),
  'upload-cancel': (target, own) => sessions(target, own).map((path) => ({ method: 'DELETE', target: path })),
}

/** A session under its own repository's path, and under the caller's. */
function sessions({ repository, session }: Target, own: string): string[] {
  return [repository, own].map((name) => `/v2/${name}/blobs/uploads/${session}`)
}
