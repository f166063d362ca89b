import type { Descriptor, Platform } from './descriptor.ts'
import { type Digest, digestAlgorithm, digestOf, isDigestShaped, parseDigest } from './digest.ts'
import { objectShape } from './json-shape.ts'
import { MAX_MEDIA_TYPE_LENGTH } from './limits.ts'

/** A parsed JSON object of which nothing but its being an object is known. */
export type JsonObject = Readonly<Record<string, unknown>>

/** Codes of the error table that a malformed manifest can have. */
export type ManifestMistakeCode = 'MANIFEST_INVALID' | 'DIGEST_INVALID' | 'SIZE_INVALID'

/** The first mistake of a manifest. `parseManifest` turns it into its result. */
export class ManifestMistake extends Error {
  readonly code: ManifestMistakeCode

  constructor(message: string, code: ManifestMistakeCode = 'MANIFEST_INVALID') {
    super(message)
    this.code = code
  }
}

/** The known fields of a descriptor (image spec, descriptor.md and image-index.md). */
export const DESCRIPTOR_SHAPE = objectShape({
  mediaType: 'any',
  digest: 'any',
  size: 'integer',
  urls: 'any',
  annotations: 'map',
  data: 'any',
  artifactType: 'any',
  platform: objectShape({
    architecture: 'any',
    os: 'any',
    'os.version': 'any',
    'os.features': 'any',
    variant: 'any',
    features: 'any',
  }),
})

const PLATFORM_STRINGS = ['architecture', 'os', 'os.version', 'variant'] as const
const PLATFORM_LISTS = ['os.features', 'features'] as const
const CONTROL_CHARACTER = /\p{Cc}/u

// Null counts as absent, as it does for Go's readers.
function field(object: JsonObject, name: string): unknown {
  return object[name] ?? undefined
}

/** Whether the object has the field with a value other than null. */
export function hasField(object: JsonObject, name: string): boolean {
  return field(object, name) !== undefined
}

/** The value as an object. Throws ManifestMistake, as all functions here. */
export function readObject(value: unknown, path: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ManifestMistake(`${path} must be an object`)
  }
  return value as JsonObject
}

/** A string field, or null when absent or empty. */
export function readOptionalString(object: JsonObject, name: string, parent: string): string | null {
  const value = field(object, name) ?? ''
  if (typeof value !== 'string') throw new ManifestMistake(`${join(parent, name)} must be a string`)
  return value === '' ? null : value
}

/** A field with a media type, or null when absent or empty. */
export function readOptionalMediaType(object: JsonObject, name: string, parent: string): string | null {
  const value = readOptionalString(object, name, parent)
  if (value !== null && (value.length > MAX_MEDIA_TYPE_LENGTH || CONTROL_CHARACTER.test(value))) {
    throw new ManifestMistake(`${join(parent, name)} is not a media type`)
  }
  return value
}

/** The `annotations` field, or null when absent. */
export function readAnnotations(object: JsonObject, parent: string): Readonly<Record<string, string>> | null {
  const value = field(object, 'annotations')
  if (value === undefined) return null
  const path = join(parent, 'annotations')
  const annotations = readObject(value, path)
  for (const [key, text] of Object.entries(annotations)) {
    if (typeof text !== 'string') {
      throw new ManifestMistake(`${path}[${JSON.stringify(key.slice(0, 64))}] must be a string`)
    }
  }
  return annotations as Readonly<Record<string, string>>
}

/** A descriptor that must be there, with everything in it checked. */
export function readDescriptor(object: JsonObject, name: string): Descriptor {
  const value = field(object, name)
  if (value === undefined) throw new ManifestMistake(`${name} is required`)
  return toDescriptor(value, name)
}

/** A descriptor, or null when absent. */
export function readOptionalDescriptor(object: JsonObject, name: string): Descriptor | null {
  const value = field(object, name)
  return value === undefined ? null : toDescriptor(value, name)
}

/** A list of descriptors that must be there; null counts as an empty list, for Go writes an empty slice so. */
export function readDescriptors(object: JsonObject, name: string, maxCount: number): Descriptor[] {
  if (!Object.hasOwn(object, name)) throw new ManifestMistake(`${name} is required`)
  const value = field(object, name) ?? []
  if (!Array.isArray(value)) throw new ManifestMistake(`${name} must be an array`)
  if (value.length > maxCount) throw new ManifestMistake(`${name} has more than ${maxCount} entries`)
  return value.map((entry: unknown, index) => toDescriptor(entry, `${name}[${index}]`))
}

function toDescriptor(value: unknown, path: string): Descriptor {
  const object = readObject(value, path)
  const mediaType = readOptionalMediaType(object, 'mediaType', path)
  if (mediaType === null) throw new ManifestMistake(`${path}.mediaType is required`)
  const digest = readDigest(object, path)
  const size = readSize(object, path)
  const urls = readStrings(object, 'urls', path)
  const annotations = readAnnotations(object, path)
  const artifactType = readOptionalMediaType(object, 'artifactType', path)
  const platform = readPlatform(object, path)
  const data = readOptionalString(object, 'data', path)
  if (data !== null) checkData(data, digest, size, path)
  return {
    mediaType,
    digest,
    size,
    ...(urls === null ? {} : { urls }),
    ...(annotations === null ? {} : { annotations }),
    ...(data === null ? {} : { data }),
    ...(artifactType === null ? {} : { artifactType }),
    ...(platform === null ? {} : { platform }),
  }
}

function readDigest(object: JsonObject, path: string): Digest {
  const text = field(object, 'digest')
  if (text === undefined) throw new ManifestMistake(`${path}.digest is required`)
  if (typeof text !== 'string') throw new ManifestMistake(`${path}.digest must be a string`)
  const digest = parseDigest(text)
  if (digest !== null) return digest
  const problem = isDigestShaped(text)
    ? 'is not a sha256 or sha512 digest with lower-case hex of the right length'
    : 'is not a digest'
  throw new ManifestMistake(`${path}.digest ${problem}`, 'DIGEST_INVALID')
}

function readSize(object: JsonObject, path: string): number {
  const size = field(object, 'size')
  if (size === undefined) throw new ManifestMistake(`${path}.size is required`, 'SIZE_INVALID')
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw new ManifestMistake(`${path}.size must be a non-negative integer`, 'SIZE_INVALID')
  }
  return size
}

function readStrings(object: JsonObject, name: string, parent: string): readonly string[] | null {
  const value = field(object, name)
  if (value === undefined) return null
  if (!Array.isArray(value) || value.some((entry) => typeof entry !== 'string')) {
    throw new ManifestMistake(`${join(parent, name)} must be an array of strings`)
  }
  return value
}

function readPlatform(object: JsonObject, parent: string): Platform | null {
  const value = field(object, 'platform')
  if (value === undefined) return null
  const path = join(parent, 'platform')
  const source = readObject(value, path)
  const platform: Record<string, unknown> = {}
  for (const name of PLATFORM_STRINGS) {
    const text = readOptionalString(source, name, path)
    if (text !== null) platform[name] = text
  }
  for (const name of PLATFORM_LISTS) {
    const list = readStrings(source, name, path)
    if (list !== null) platform[name] = list
  }
  return platform
}

/** Image spec, descriptor.md: embedded data must be the content that the descriptor names. Empty data is no data. */
function checkData(data: string, digest: Digest, size: number, path: string): void {
  const bytes = Buffer.from(data, 'base64')
  if (bytes.toString('base64') !== data) throw new ManifestMistake(`${path}.data is not base64`)
  if (bytes.length !== size) {
    throw new ManifestMistake(
      `${path}.data is ${bytes.length} bytes long but size is ${size}`,
      'SIZE_INVALID',
    )
  }
  if (digestOf(digestAlgorithm(digest), bytes) !== digest) {
    throw new ManifestMistake(`${path}.data is not the content of ${path}.digest`, 'DIGEST_INVALID')
  }
}

function join(parent: string, name: string): string {
  return parent === '' ? name : `${parent}.${name}`
}
