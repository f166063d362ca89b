/** Real image content made without a network, the same bytes from the same seed every time. */
import { createCipheriv, createHash } from 'node:crypto'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import type { Descriptor, Layout } from './layout.ts'
import { runCommand } from './process.ts'
import { type TarEntry, tarArchive, tarEnd, tarFileHeader, tarPadding } from './tar.ts'
import { requireTools } from './tools.ts'

const chunkSizeBytes = 1024 * 1024
const created = '2026-01-01T00:00:00Z'

/** The media types of the two image formats. */
export const mediaTypes = {
  oci: {
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    index: 'application/vnd.oci.image.index.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
    plainLayer: 'application/vnd.oci.image.layer.v1.tar',
  },
  docker: {
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
    plainLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  },
} as const

export type Format = keyof typeof mediaTypes
export type Platform = { architecture: string; os: string; variant?: string }

/** The platform of this machine, in the image spec's words. */
export const hostPlatform: Platform = {
  os: 'linux',
  architecture: process.arch === 'x64' ? 'amd64' : process.arch,
}

export type ImageOptions = {
  seed: string
  format?: Format
  platform?: Platform
  /** How many layers, each with one file of pseudo-random bytes. Default 3. */
  layers?: number
  /** Size of each layer's file. Default 4 KiB. */
  layerSizeBytes?: number
  /** Listed under this name in the layout's index. */
  tag?: string
}

/** Pseudo-random bytes from a seed, in chunks of at most 1 MiB; they do not compress. */
export function* seededChunks(seed: string, sizeBytes: number): Generator<Buffer> {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16)
  const stream = createCipheriv('aes-128-ctr', key, Buffer.alloc(16))
  const zeros = Buffer.alloc(Math.min(chunkSizeBytes, sizeBytes))
  for (let left = sizeBytes; left > 0; left -= chunkSizeBytes) {
    yield stream.update(left < zeros.length ? zeros.subarray(0, left) : zeros)
  }
}

/** Pseudo-random bytes from a seed, in one piece. */
export function seededBytes(seed: string, sizeBytes: number): Buffer {
  return Buffer.concat([...seededChunks(seed, sizeBytes)])
}

/** An image of small gzip layers, each holding one file `data/<n>`. Returns the manifest's descriptor. */
export function putImage(layout: Layout, options: ImageOptions): Descriptor {
  const types = mediaTypes[options.format ?? 'oci']
  const layers = Array.from({ length: options.layers ?? 3 }, (_, n) => {
    const content = seededBytes(`${options.seed}/layer/${n}`, options.layerSizeBytes ?? 4096)
    const tar = tarArchive([
      { type: 'directory', path: 'data' },
      { type: 'file', path: `data/${n}`, content },
    ])
    return putGzipLayer(layout, tar, types.layer)
  })
  return finishImage(layout, layers, options)
}

/**
 * An image whose layers do not fit in memory together: uncompressed tar layers, written as they are made.
 * The default, 5 layers of 220 MiB, is 1.07 GiB.
 */
export function putBigImage(layout: Layout, options: ImageOptions): Descriptor {
  const types = mediaTypes[options.format ?? 'oci']
  const sizeBytes = options.layerSizeBytes ?? 220 * 1024 * 1024
  const layers = Array.from({ length: options.layers ?? 5 }, (_, n) => {
    const descriptor = layout.putStream(
      types.plainLayer,
      bigTar(`big-${n}`, `${options.seed}/big/${n}`, sizeBytes),
    )
    return { descriptor, diffId: descriptor.digest }
  })
  return finishImage(layout, layers, options)
}

/** An index (or manifest list) of one image for each platform. */
export function putIndex(
  layout: Layout,
  options: ImageOptions & { platforms?: readonly Platform[] },
): Descriptor {
  const { tag, ...each } = options
  const platforms = options.platforms ?? [
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm64' },
    { os: 'linux', architecture: 'arm', variant: 'v7' },
  ]
  const manifests = platforms.map((platform) => {
    const seed = `${options.seed}/${platform.os}/${platform.architecture}${platform.variant ?? ''}`
    return { ...putImage(layout, { ...each, seed, platform }), platform }
  })
  const mediaType = mediaTypes[options.format ?? 'oci'].index
  const descriptor = layout.putJson(mediaType, { schemaVersion: 2, mediaType, manifests })
  if (tag !== undefined) layout.tag(tag, descriptor)
  return descriptor
}

export type ArtifactOptions = {
  artifactType: string
  content: string | Uint8Array
  contentType?: string
  /** What the artifact is about: it then appears among that manifest's referrers. */
  subject?: Descriptor
  annotations?: Record<string, string>
  tag?: string
}

/** An artifact as the image spec's guidance has it: empty config, one blob, `artifactType`, maybe a `subject`. */
export function putArtifact(layout: Layout, options: ArtifactOptions): Descriptor {
  const content = Buffer.from(options.content)
  const mediaType = mediaTypes.oci.manifest
  const descriptor = layout.putJson(mediaType, {
    schemaVersion: 2,
    mediaType,
    artifactType: options.artifactType,
    config: layout.putBlob('application/vnd.oci.empty.v1+json', Buffer.from('{}')),
    layers: [layout.putBlob(options.contentType ?? options.artifactType, content)],
    ...(options.subject === undefined ? {} : { subject: bare(options.subject) }),
    ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
  })
  if (options.tag !== undefined) layout.tag(options.tag, descriptor)
  return { ...descriptor, artifactType: options.artifactType }
}

/**
 * A runnable image: busybox and its applets, for this machine's platform, and `/message` with the seed.
 * `docker run IMAGE` prints that file. Needs the tool `busybox`.
 */
export async function putBusyboxImage(layout: Layout, options: ImageOptions): Promise<Descriptor> {
  const { busybox } = await requireTools('busybox')
  const { stdout } = await runCommand(busybox, ['--list'])
  const applets = stdout.split('\n').filter((name) => name !== '' && name !== 'busybox')
  const binaries: TarEntry[] = [
    ...['bin', 'etc', 'tmp'].map((path): TarEntry => ({ type: 'directory', path })),
    { type: 'file', path: 'bin/busybox', mode: 0o755, content: readFileSync(busybox) },
    ...applets.map((name): TarEntry => ({ type: 'symlink', path: `bin/${name}`, target: 'busybox' })),
    { type: 'file', path: 'etc/passwd', content: Buffer.from('root:x:0:0:root:/:/bin/sh\n') },
  ]
  const message: TarEntry[] = [{ type: 'file', path: 'message', content: Buffer.from(`${options.seed}\n`) }]
  const type = mediaTypes[options.format ?? 'oci'].layer
  const layers = [binaries, message].map((entries) => putGzipLayer(layout, tarArchive(entries), type))
  return finishImage(layout, layers, options, { Cmd: ['/bin/cat', '/message'] })
}

/** Writes an image of a layout as a `docker load` archive (also `docker-archive:` of skopeo and podman). */
export function writeDockerArchive(layout: Layout, image: Descriptor, reference: string, path: string): void {
  const manifest = JSON.parse(layout.read(image.digest).toString()) as {
    config: Descriptor
    layers: Descriptor[]
  }
  const file = openSync(path, 'w')
  const put = (name: string, content: Uint8Array): void => {
    for (const part of [tarFileHeader(name, content.byteLength), content, tarPadding(content.byteLength)]) {
      for (let done = 0; done < part.byteLength; ) done += writeSync(file, part, done)
    }
  }
  const nameOf = (descriptor: Descriptor, suffix: string): string =>
    descriptor.digest.slice('sha256:'.length) + suffix
  try {
    put(nameOf(manifest.config, '.json'), layout.read(manifest.config.digest))
    for (const digest of new Set(manifest.layers.map((layer) => layer.digest))) {
      put(`${digest.slice('sha256:'.length)}.tar`, layout.read(digest))
    }
    const entry = {
      Config: nameOf(manifest.config, '.json'),
      RepoTags: [reference],
      Layers: manifest.layers.map((layer) => nameOf(layer, '.tar')),
    }
    put('manifest.json', Buffer.from(JSON.stringify([entry])))
    writeSync(file, tarEnd)
  } finally {
    closeSync(file)
  }
}

type Layer = { descriptor: Descriptor; diffId: string }

function putGzipLayer(layout: Layout, tar: Buffer, mediaType: string): Layer {
  const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`
  return { descriptor: layout.putBlob(mediaType, gzipSync(tar, { level: 6 })), diffId }
}

function* bigTar(path: string, seed: string, sizeBytes: number): Generator<Uint8Array> {
  yield tarFileHeader(path, sizeBytes)
  yield* seededChunks(seed, sizeBytes)
  yield tarPadding(sizeBytes)
  yield tarEnd
}

function finishImage(
  layout: Layout,
  layers: readonly Layer[],
  options: ImageOptions,
  config: Record<string, unknown> = {},
): Descriptor {
  const types = mediaTypes[options.format ?? 'oci']
  const platform = options.platform ?? hostPlatform
  const configDescriptor = layout.putJson(types.config, {
    created,
    ...platform,
    config: { Env: ['PATH=/bin'], ...config },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    history: layers.map((_, n) => ({ created, created_by: `layer ${n} of ${options.seed}` })),
  })
  const descriptor = layout.putJson(types.manifest, {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: configDescriptor,
    layers: layers.map((layer) => layer.descriptor),
  })
  if (options.tag !== undefined) layout.tag(options.tag, descriptor)
  return descriptor
}

function bare({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size }
}
