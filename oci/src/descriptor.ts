import type { Digest } from './digest.ts'

/** Image spec, image-index.md. All fields are as the client wrote them. */
export interface Platform {
  readonly architecture?: string
  readonly os?: string
  readonly 'os.version'?: string
  readonly 'os.features'?: readonly string[]
  readonly variant?: string
  readonly features?: readonly string[]
}

/** Image spec, descriptor.md. `size` in bytes, a safe integer. Absent optional fields have no key. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly urls?: readonly string[]
  readonly annotations?: Readonly<Record<string, string>>
  /** Base64 of the content itself; its digest and size have been checked. */
  readonly data?: string
  readonly artifactType?: string
  readonly platform?: Platform
}
