import { argon2, randomBytes, timingSafeEqual } from 'node:crypto'
import { ApiError } from '@berth/api/errors'
import {
  ARGON2_LANES,
  ARGON2_MEMORY_KIB,
  ARGON2_PASSES,
  ARGON2_SALT_BYTES,
  ARGON2_TAG_BYTES,
  MAX_ARGON2_MEMORY_KIB,
  MAX_ARGON2_PASSES,
  MAX_WAITING_PASSWORD_CHECKS,
  PASSWORD_CHECKS_AT_ONCE,
} from './limits.ts'

/** Hashes and checks passwords, a few at once: each takes 46 MiB for a tenth of a second. */
export interface Passwords {
  /** A PHC string with argon2id. Raises `unavailable` when too many wait. */
  hash(password: string): Promise<string>
  /** Whether the password is the one that was hashed. Raises `unavailable` when too many wait. */
  verify(input: { readonly hash: string; readonly password: string }): Promise<boolean>
}

interface Parameters {
  readonly memoryKib: number
  readonly passes: number
  readonly lanes: number
}

const CURRENT: Parameters = { memoryKib: ARGON2_MEMORY_KIB, passes: ARGON2_PASSES, lanes: ARGON2_LANES }
const PHC = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]{11,64})\$([A-Za-z0-9+/]{22,86})$/
const BUSY_RETRY_SECONDS = 2

/** How many passwords are checked at once, and how many more may wait. */
export interface PasswordBounds {
  readonly atOnce: number
  readonly waiting: number
}

const DEFAULT_BOUNDS: PasswordBounds = {
  atOnce: PASSWORD_CHECKS_AT_ONCE,
  waiting: MAX_WAITING_PASSWORD_CHECKS,
}

/** Makes the one gate through which all passwords of a process go. */
export function createPasswords(bounds: PasswordBounds = DEFAULT_BOUNDS): Passwords {
  const gate = createGate(bounds)
  return {
    hash: (password) =>
      gate(async () => {
        const salt = randomBytes(ARGON2_SALT_BYTES)
        const tag = await derive(password, salt, CURRENT, ARGON2_TAG_BYTES)
        const { memoryKib, passes, lanes } = CURRENT
        return `$argon2id$v=19$m=${memoryKib},t=${passes},p=${lanes}$${unpadded(salt)}$${unpadded(tag)}`
      }),
    verify: ({ hash, password }) =>
      gate(async () => {
        const stored = parsePhc(hash)
        if (stored === null) throw new Error('a stored password hash is damaged')
        const tag = await derive(password, stored.salt, stored, stored.tag.byteLength)
        return timingSafeEqual(tag, stored.tag)
      }),
  }
}

function parsePhc(hash: string): (Parameters & { readonly salt: Buffer; readonly tag: Buffer }) | null {
  const match = PHC.exec(hash)
  if (match === null) return null
  const [memoryKib, passes, lanes] = match.slice(1, 4).map(Number) as [number, number, number]
  if (memoryKib > MAX_ARGON2_MEMORY_KIB || passes > MAX_ARGON2_PASSES || lanes > 16) return null
  const [salt, tag] = match.slice(4).map((text) => Buffer.from(text, 'base64')) as [Buffer, Buffer]
  return { memoryKib, passes, lanes, salt, tag }
}

function derive(
  password: string,
  salt: Uint8Array,
  { memoryKib, passes, lanes }: Parameters,
  tagLength: number,
): Promise<Buffer> {
  // The same text can be typed as different code points (é as one or as two).
  const message = Buffer.from(password.normalize('NFKC'))
  const parameters = { message, nonce: salt, memory: memoryKib, passes, parallelism: lanes, tagLength }
  return new Promise((resolve, reject) => {
    argon2('argon2id', parameters, (error, tag) => (error === null ? resolve(tag) : reject(error)))
  })
}

function unpadded(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replace(/=+$/, '')
}

/** Lets `atOnce` tasks run, up to `waiting` wait in order, and refuses more. */
function createGate({
  atOnce,
  waiting,
}: PasswordBounds): <Result>(task: () => Promise<Result>) => Promise<Result> {
  const queue: (() => void)[] = []
  let running = 0
  return async (task) => {
    if (running >= atOnce) {
      if (queue.length >= waiting) {
        throw new ApiError('unavailable', 'Too many people sign in right now. Try again in a moment.', {
          headers: { 'Retry-After': String(BUSY_RETRY_SECONDS) },
        })
      }
      // Whoever ends hands its place over, so `running` stays as it is.
      await new Promise<void>((resolve) => queue.push(resolve))
    } else running += 1
    try {
      return await task()
    } finally {
      const next = queue.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }
}
