import type { CallOptions } from './call-options.ts'
import type { UpstreamCredential } from './upstream.ts'

/** Where the credential for the registry comes from: the record itself, or an exchange at use. */
export interface CredentialSource {
  /** Null: none is stored. Throws `UpstreamError`. */
  load(call: CallOptions): Promise<UpstreamCredential | null>
  /** Forgets what was exchanged, since the registry refused it. */
  drop(): void
}

/** The credential as it is stored. */
export function storedCredential(credential: UpstreamCredential | null): CredentialSource {
  return { load: async () => credential, drop() {} }
}
