/** Secrets that are looked for wherever they must not be, in every spelling that they could have there. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

export interface Canary {
  readonly name: string
  readonly spellings: readonly Buffer[]
}

/** A secret text: as it is, in base64 of either alphabet, in hex, and percent-encoded. */
export function canary(name: string, secret: string): Canary {
  const bytes = Buffer.from(secret)
  // Inside a longer base64 text the spelling depends on where it begins: three ways, without the ends.
  const inBase64 = [0, 1, 2].flatMap((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replace(/=*$/, '')
    const inner = text.slice(shift === 0 ? 0 : 4, -4)
    return [inner, inner.replaceAll('+', '-').replaceAll('/', '_')]
  })
  const spellings = [secret, ...inBase64, bytes.toString('hex'), encodeURIComponent(secret)]
  return { name, spellings: [...new Set(spellings)].map((text) => Buffer.from(text)) }
}

/** The API key and what makes it secret: its third part, which the database holds only as an HMAC. */
export function keyCanaries(name: string, keyText: string): Canary[] {
  const secret = (keyText.split('_')[3] ?? '').slice(0, -6)
  return [canary(name, keyText), canary(`${name}'s secret`, secret)]
}

/** A token: whole, and its signature alone. */
export function tokenCanaries(name: string, token: string): Canary[] {
  return [canary(name, token), canary(`${name}'s signature`, token.split('.')[2] ?? token)]
}

/** The root key: as text and as the bytes that it stands for. */
export function rootKeyCanary(name: string, base64: string): Canary {
  const bytes = Buffer.from(base64, 'base64')
  const { spellings } = canary(name, base64)
  return { name, spellings: [...spellings, bytes, Buffer.from(bytes.toString('hex'))] }
}

/** Where the canaries are: `<name> in <where>`. Empty: nowhere. */
export function findCanaries(canaries: readonly Canary[], where: string, content: Buffer | string): string[] {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  return canaries.flatMap(({ name, spellings }) =>
    spellings.some((spelling) => bytes.includes(spelling)) ? [`${name} in ${where}`] : [],
  )
}

/** Every file below a folder, as it is now. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

/** Reads a file that the server may be removing just now. */
export function readIfThere(path: string): Buffer {
  try {
    return statSync(path).isFile() ? readFileSync(path) : Buffer.alloc(0)
  } catch {
    return Buffer.alloc(0)
  }
}

/** Arguments and environment of a process and of all its descendants. */
export function processTexts(pid: number): { pid: number; cmdline: Buffer; environ: Buffer }[] {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    const parent = /^PPid:\s+(\d+)$/m.exec(
      /^\d+$/.test(entry) ? readProc(`/proc/${entry}/status`).toString() : '',
    )?.[1]
    if (parent !== undefined)
      children.set(Number(parent), [...(children.get(Number(parent)) ?? []), Number(entry)])
  }
  const family = (id: number): number[] => [id, ...(children.get(id) ?? []).flatMap(family)]
  return family(pid).map((id) => ({
    pid: id,
    cmdline: readProc(`/proc/${id}/cmdline`),
    environ: readProc(`/proc/${id}/environ`),
  }))
}

function readProc(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch {
    return Buffer.alloc(0)
  }
}
