import type { Descriptor } from '@berth/oci/descriptor'
import type { Digest } from '@berth/oci/digest'
import { parseManifest } from '@berth/oci/manifest'
import { OCI_IMAGE_INDEX } from '@berth/oci/media-type'
import { formatReferrersTag } from '@berth/oci/referrers'
import { discardBody, readBody } from '../outgoing/read-body.ts'
import type { CallOptions } from './call-options.ts'
import { MAX_LIST_BYTES } from './limits.ts'
import { fetchManifest, pullScope } from './manifests.ts'
import type { RegistryCaller } from './registry-call.ts'
import type { RegistryPlace } from './registry-place.ts'
import { toUpstreamError, UpstreamError } from './upstream-error.ts'

// Registries without the referrers API say so in different ways, Docker Hub among them.
const NO_REFERRERS = [400, 403, 404, 405, 501]

/**
 * What refers to a digest, as the registry lists it on its first page: by the referrers API, else by the referrers tag
 * (distribution spec, "Listing Referrers"). Empty for nothing, and for no such repository. Throws `UpstreamError`.
 */
export async function fetchReferrers(
  caller: RegistryCaller,
  place: RegistryPlace,
  repository: string,
  digest: Digest,
  call: CallOptions,
): Promise<readonly Descriptor[]> {
  const response = await caller.call(
    {
      ...call,
      path: `/v2/${repository}/referrers/${digest}`,
      scope: pullScope(repository),
      headers: { accept: OCI_IMAGE_INDEX },
      maxBytes: MAX_LIST_BYTES,
    },
    NO_REFERRERS,
  )
  if (response.status !== 200) {
    discardBody(response)
    const tagged = { ...call, repository, reference: formatReferrersTag(digest), accept: [OCI_IMAGE_INDEX] }
    const found = await fetchManifest(caller, place, tagged)
    return found === null || found === 'not_modified' ? [] : listed(found.bytes, place)
  }
  try {
    return listed(await readBody(response), place)
  } catch (error) {
    throw toUpstreamError(error)
  }
}

function listed(bytes: Uint8Array, place: RegistryPlace): readonly Descriptor[] {
  const parsed = parseManifest(bytes, OCI_IMAGE_INDEX)
  if (parsed.ok && parsed.manifest.kind === 'index') return parsed.manifest.manifests
  throw new UpstreamError({
    reason: 'bad_answer',
    message: `${place.name} answered with something that is not a list of referrers`,
    nextStep: 'Nothing was kept. If it happens again, tell whoever runs that registry.',
  })
}
