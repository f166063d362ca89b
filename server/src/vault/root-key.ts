import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, randomUUID } from 'node:crypto'
import { link, mkdir, open, readFile, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'

/** 32 bytes that protect everything secret at rest. Losing it makes the installation's secrets unreadable. */
export type RootKey = Uint8Array & { readonly __brand: 'RootKey' }

/**
 * 32 bytes from which keys for one purpose each are derived: the pepper of API keys, the keys that sign tokens. It is
 * stored wrapped by the root key, so that a new root key changes none of them.
 */
export type InstallationKey = Uint8Array & { readonly __brand: 'InstallationKey' }

/** The root key cannot be used. The message tells the operator what to do. */
export class RootKeyError extends Error {
  override readonly name = 'RootKeyError'
}

const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const CANARY_TEXT = 'berth root key canary v1'

/**
 * Reads the root key from its text or its file. `createIfMissing` is for an installation without any data: then a new
 * key is written with mode 0600 and made durable before anything depends on it.
 */
export async function loadRootKey(source: {
  text: string | null
  file: string
  createIfMissing: boolean
}): Promise<RootKey> {
  if (source.text !== null) return parseRootKey(source.text, 'BERTH_ROOT_KEY')
  try {
    return parseRootKey((await readFile(source.file, 'utf8')).trim(), source.file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  if (!source.createIfMissing) {
    throw new RootKeyError(
      `The root key file ${source.file} is missing, but this installation has data that was made with it. ` +
        'Restore the file from your backup, or set BERTH_ROOT_KEY or BERTH_ROOT_KEY_FILE.',
    )
  }
  return createRootKey(source.file)
}

/** Reads a root key from its text. `origin` names its source in the `RootKeyError` for a text that is none. */
export function parseRootKey(text: string, origin: string): RootKey {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length !== KEY_BYTES || bytes.toString('base64') !== text) {
    throw new RootKeyError(`${origin} does not hold a root key: it must be ${KEY_BYTES} bytes in base64.`)
  }
  return new Uint8Array(bytes) as RootKey
}

async function createRootKey(file: string): Promise<RootKey> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  // Whole or not at all: a crash must not leave a key file that is cut short.
  const unfinished = `${file}.${randomUUID()}.new`
  const handle = await open(unfinished, 'wx', 0o600)
  try {
    await handle.writeFile(`${randomBytes(KEY_BYTES).toString('base64')}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  try {
    // Never over a key that another process has made meanwhile: what depends on that one may be stored already.
    await link(unfinished, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await unlink(unfinished)
  }
  const folder = await open(dirname(file), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
  return parseRootKey((await readFile(file, 'utf8')).trim(), file)
}

/** Derives a key for one purpose (HKDF-SHA-256, RFC 5869). `purpose` names it and its version, e.g. `pepper/v1`. */
export function deriveKey(
  key: RootKey | InstallationKey,
  purpose: string,
  sizeBytes = KEY_BYTES,
): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, Buffer.alloc(0), `berth/${purpose}`, sizeBytes))
}

/** A text that only the same root key can confirm; kept in the control database. */
export function sealCanary(rootKey: RootKey): string {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', deriveKey(rootKey, 'canary/v1'), nonce)
  const sealed = Buffer.concat([cipher.update(CANARY_TEXT, 'utf8'), cipher.final()])
  return Buffer.concat([nonce, sealed, cipher.getAuthTag()]).toString('base64')
}

/** Whether `canary` was sealed with this root key. */
export function matchesCanary(rootKey: RootKey, canary: string): boolean {
  try {
    checkCanary(rootKey, canary)
    return true
  } catch (error) {
    if (error instanceof RootKeyError) return false
    throw error
  }
}

/** Throws `RootKeyError` unless `canary` was sealed with this root key. */
export function checkCanary(rootKey: RootKey, canary: string): void {
  const bytes = Buffer.from(canary, 'base64')
  const decipher = createDecipheriv(
    'aes-256-gcm',
    deriveKey(rootKey, 'canary/v1'),
    bytes.subarray(0, NONCE_BYTES),
    { authTagLength: TAG_BYTES },
  )
  try {
    decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES))
    decipher.update(bytes.subarray(NONCE_BYTES, bytes.length - TAG_BYTES))
    decipher.final()
  } catch (cause) {
    throw new RootKeyError(
      'The root key does not match this installation: its stored secrets were made with another one. ' +
        'Set BERTH_ROOT_KEY or BERTH_ROOT_KEY_FILE to the key that this data was made with.',
      { cause },
    )
  }
}
