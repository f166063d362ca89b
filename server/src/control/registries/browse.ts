import { ApiError } from '@berth/api/errors'
import type { PageQuery } from '@berth/api/paging'
import type { BrowsedManifest, BrowsedRepositoryPage, BrowsedTagPage } from '@berth/api/registry-browse'
import type { Descriptor } from '@berth/oci/descriptor'
import { type ParsedManifest, parseManifest } from '@berth/oci/manifest'
import {
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  OCI_IMAGE_INDEX,
  OCI_IMAGE_MANIFEST,
} from '@berth/oci/media-type'
import { z } from 'zod'
import type { ProjectRow, RegistryRow } from '../../metastore/control-schema.ts'
import { createUpstreamClient } from '../../upstream/upstream-client.ts'
import type { UpstreamClient, UpstreamManifest } from '../../upstream/upstream.ts'
import { UpstreamError } from '../../upstream/upstream-error.ts'
import { decodeCursor, encodeCursor } from '../cursor.ts'
import type { ControlRuntime } from '../runtime.ts'
import { openStored } from './open-stored.ts'
import { findThirdParty } from './service.ts'
import { toRegistry } from './to-registry.ts'

/** A third-party registry of a project. */
export interface BrowsedRegistry {
  readonly project: ProjectRow
  readonly id: string
}

/** Pages of the other registry that one search looks at. */
const MAX_SEARCHED_PAGES = 10

/**
 * A page of a third-party registry's repositories. Raises `registry_not_found`, `registry_kind`, `secret_unreadable`,
 * `registry_failed`.
 */
export async function browseRepositories(
  runtime: ControlRuntime,
  target: BrowsedRegistry,
  query: PageQuery & { readonly q?: string | undefined },
): Promise<BrowsedRepositoryPage> {
  const { row, client } = await open(runtime, target)
  const names: string[] = []
  let cursor = decodeCursor(z.string(), query.cursor)
  for (let page = 0; page < MAX_SEARCHED_PAGES; page++) {
    const list = await ask(row, () => client.catalog({ limit: query.limit, cursor }))
    if (list === null) return { items: [], nextCursor: null, reason: notListed(row) }
    names.push(...list.names.filter((name) => query.q === undefined || name.includes(query.q)))
    cursor = list.next
    if (cursor === null || names.length > 0) break
  }
  return {
    items: names.map((name) => ({ name, pullAddresses: pullAddresses(runtime, target, row, name) })),
    nextCursor: cursor === null ? null : encodeCursor(cursor),
    reason: null,
  }
}

function notListed({ name, provider }: RegistryRow): string {
  const where = { docker_hub: 'on hub.docker.com', ghcr: 'on github.com' }[provider as string] ?? 'there'
  return `${name} does not list its repositories. Look for an image ${where}, and name it here.`
}

/** A page of the tags of one of its repositories. Raises `repository_not_found` too. */
export async function browseTags(
  runtime: ControlRuntime,
  target: BrowsedRegistry,
  repository: string,
  query: PageQuery,
): Promise<BrowsedTagPage> {
  const { row, client } = await open(runtime, target)
  const cursor = decodeCursor(z.string(), query.cursor)
  const list = await ask(row, () => client.tags(repository, { limit: query.limit, cursor }))
  if (list === null) {
    throw new ApiError('repository_not_found', `${row.host} has no repository "${repository}".`)
  }
  return {
    items: list.names.map((name) => ({ name })),
    nextCursor: list.next === null ? null : encodeCursor(list.next),
  }
}

const ACCEPT = [OCI_IMAGE_INDEX, OCI_IMAGE_MANIFEST, DOCKER_MANIFEST_LIST, DOCKER_MANIFEST]

/** What one of its tags or digests is. Raises `manifest_not_found` too. */
export async function browseManifest(
  runtime: ControlRuntime,
  target: BrowsedRegistry,
  repository: string,
  reference: string,
): Promise<BrowsedManifest> {
  const { row, client } = await open(runtime, target)
  const found = await ask(row, () => client.manifest(repository, reference, ACCEPT))
  if (found === null || found === 'not_modified') {
    throw new ApiError('manifest_not_found', `${row.host} has no "${reference}" of "${repository}".`)
  }
  const parsed = parseManifest(found.bytes, found.mediaType)
  if (!parsed.ok) {
    throw new ApiError('registry_failed', `${row.host} has a manifest that is not valid: ${parsed.message}`)
  }
  return {
    ...summarize(found, parsed.manifest),
    pullAddresses: pullAddresses(runtime, target, row, repository),
  }
}

function summarize(
  { digest, bytes }: UpstreamManifest,
  manifest: ParsedManifest,
): Omit<BrowsedManifest, 'pullAddresses'> {
  const parts = manifest.config === null ? [] : [manifest.config, ...manifest.layers]
  return {
    digest,
    mediaType: manifest.mediaType,
    kind: manifest.kind,
    artifactType: manifest.artifactType,
    subject: manifest.subject?.digest ?? null,
    manifestBytes: bytes.byteLength,
    totalBytes: parts.reduce((sum, { size }) => sum + size, bytes.byteLength),
    annotations: manifest.annotations === null ? null : { ...manifest.annotations },
    config: manifest.config === null ? null : toDescriptor(manifest.config),
    layers: manifest.layers.map(toDescriptor),
    manifests: manifest.manifests.map(toDescriptor),
  }
}

function toDescriptor({ mediaType, digest, size, artifactType, platform, annotations }: Descriptor) {
  return {
    mediaType,
    digest,
    sizeBytes: size,
    artifactType: artifactType ?? null,
    platform:
      platform === undefined || platform === null
        ? null
        : {
            os: platform.os ?? null,
            architecture: platform.architecture ?? null,
            variant: platform.variant ?? null,
            osVersion: platform['os.version'] ?? null,
          },
    annotations: annotations === undefined || annotations === null ? null : { ...annotations },
  }
}

function pullAddresses(
  runtime: ControlRuntime,
  { project }: BrowsedRegistry,
  row: RegistryRow,
  name: string,
): { region: string; address: string }[] {
  return toRegistry(runtime, project, row).pullAddresses.map(({ region, address }) => ({
    region,
    address: `${address}/${name}`,
  }))
}

async function open(
  runtime: ControlRuntime,
  { project, id }: BrowsedRegistry,
): Promise<{ row: RegistryRow; client: UpstreamClient }> {
  const row = await findThirdParty(runtime, project, id)
  const { outgoing, upstreamEndpoints: endpoints } = runtime
  const { provider, host, username } = row
  const credential =
    row.sealed_password === null || username === null
      ? null
      : { username, password: await openStored(runtime, row) }
  const client = await ask(row, async () =>
    createUpstreamClient({ outgoing, endpoints, provider, host, credential, account: project.id }),
  )
  return { row, client }
}

/** Asks the other registry; what is wrong with it becomes `registry_failed`, in words for people. */
async function ask<Answer>(row: RegistryRow, question: () => Promise<Answer>): Promise<Answer> {
  try {
    return await question()
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    const { message, nextStep, retryAfterSeconds } = error
    throw new ApiError('registry_failed', `${row.name} could not be asked: ${message}. ${nextStep}`, {
      cause: error,
      ...(retryAfterSeconds === null ? {} : { headers: { 'Retry-After': String(retryAfterSeconds) } }),
    })
  }
}
