/** Deterministic ustar archives: the same entries give the same bytes, so the same digests, on every machine. */

const blockSizeBytes = 512
const nameLimitBytes = 100
/** 2026-01-01T00:00:00Z: one fixed time for every entry. */
const modifiedSeconds = 1_767_225_600

export type TarEntry = { path: string; mode?: number } & (
  | { type: 'file'; content: Uint8Array }
  | { type: 'directory' }
  | { type: 'symlink'; target: string }
)

/** A whole archive in memory. */
export function tarArchive(entries: readonly TarEntry[]): Buffer {
  const parts = entries.flatMap((entry) => {
    if (entry.type !== 'file') return [tarHeader(entry, 0)]
    return [tarHeader(entry, entry.content.byteLength), entry.content, tarPadding(entry.content.byteLength)]
  })
  return Buffer.concat([...parts, tarEnd])
}

/** What stands before a file's content, for archives that are streamed. */
export function tarFileHeader(path: string, sizeBytes: number): Buffer {
  return tarHeader({ path, type: 'file', content: new Uint8Array() }, sizeBytes)
}

/** Zeros up to the next block after content of this size. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((blockSizeBytes - (sizeBytes % blockSizeBytes)) % blockSizeBytes)
}

/** Two empty blocks end an archive. */
export const tarEnd: Buffer = Buffer.alloc(2 * blockSizeBytes)

function tarHeader(entry: TarEntry, sizeBytes: number): Buffer {
  const name = entry.type === 'directory' ? `${entry.path.replace(/\/$/, '')}/` : entry.path
  if (Buffer.byteLength(name) > nameLimitBytes)
    throw new Error(`path too long for a plain tar entry: ${name}`)
  const header = Buffer.alloc(blockSizeBytes)
  const octal = (value: number, offset: number, width: number): void => {
    header.write(value.toString(8).padStart(width - 1, '0'), offset, 'ascii')
  }
  header.write(name, 0, 'utf8')
  octal(entry.mode ?? (entry.type === 'file' ? 0o644 : 0o755), 100, 8)
  octal(0, 108, 8) // owner
  octal(0, 116, 8) // group
  octal(sizeBytes, 124, 12)
  octal(modifiedSeconds, 136, 12)
  header.write('        ', 148, 'ascii') // The checksum counts its own field as spaces.
  header.write({ file: '0', symlink: '2', directory: '5' }[entry.type], 156, 'ascii')
  if (entry.type === 'symlink') header.write(entry.target, 157, 'utf8')
  header.write('ustar\u000000', 257, 'latin1')
  const checksum = header.reduce((sum, byte) => sum + byte, 0)
  header.write(`${checksum.toString(8).padStart(6, '0')}\u0000 `, 148, 'latin1')
  return header
}
