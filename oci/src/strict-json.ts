import { JsonScanner } from './json-scanner.ts'
import type { JsonShape } from './json-shape.ts'
import {
  MAX_JSON_ARRAY_LENGTH,
  MAX_JSON_DEPTH,
  MAX_JSON_KEY_LENGTH,
  MAX_JSON_OBJECT_KEYS,
  MAX_JSON_UNUSUAL_KEY_LENGTH,
  MAX_JSON_VALUES,
} from './limits.ts'

export interface StrictJsonOptions {
  /** What is known about the document. Without it every object is treated as 'any'. */
  readonly shape?: JsonShape
  readonly maxDepth?: number
  readonly maxArrayLength?: number
  readonly maxObjectKeys?: number
  readonly maxKeyLength?: number
  readonly maxUnusualKeyLength?: number
  readonly maxValues?: number
}

export type StrictJson =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly reason: string }

/**
 * Parses a JSON document that every reader must understand alike. Beyond RFC 8259 it refuses what readers are
 * known to differ on: bytes that are not UTF-8, a byte order mark, duplicate keys, keys that differ only in case
 * (Go matches them case-insensitively and takes the last), lone surrogates, NUL, integers beyond 2^53-1 and
 * numbers beyond a double; and what costs too much: depth, long arrays and keys, large objects, very many values.
 *
 * Takes linear time and constant stack. The reason names the place of the first mistake and is safe to send.
 */
export function parseStrictJson(bytes: Uint8Array, options: StrictJsonOptions = {}): StrictJson {
  const text = decodeUtf8(bytes)
  if (text === null) return { ok: false, reason: 'the document is not valid UTF-8' }
  const reason = new JsonScanner(text, {
    shape: options.shape ?? 'any',
    maxDepth: options.maxDepth ?? MAX_JSON_DEPTH,
    maxArrayLength: options.maxArrayLength ?? MAX_JSON_ARRAY_LENGTH,
    maxObjectKeys: options.maxObjectKeys ?? MAX_JSON_OBJECT_KEYS,
    maxKeyLength: options.maxKeyLength ?? MAX_JSON_KEY_LENGTH,
    maxUnusualKeyLength: options.maxUnusualKeyLength ?? MAX_JSON_UNUSUAL_KEY_LENGTH,
    maxValues: options.maxValues ?? MAX_JSON_VALUES,
  }).scan()
  return reason === null ? { ok: true, value: JSON.parse(text) } : { ok: false, reason }
}

// ignoreBOM keeps a byte order mark as a character, which the scanner then refuses.
function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}
