import { KeySet } from './json-key-set.ts'
import type { JsonShape } from './json-shape.ts'
import { foldKey } from './key-folding.ts'

export interface JsonScanLimits {
  readonly shape: JsonShape
  readonly maxDepth: number
  readonly maxArrayLength: number
  readonly maxObjectKeys: number
  readonly maxKeyLength: number
  readonly maxUnusualKeyLength: number
  readonly maxValues: number
}

/** One open array or object. Frames are kept and used again, one per depth. */
interface Frame {
  isArray: boolean
  shape: JsonShape
  count: number
  key: string
  readonly keys: KeySet
}

/** The first mistake of a document. Never leaves this file. */
class Mistake extends Error {}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const MINUS = 0x2d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const SPACE = 0x20

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y
const PLAIN_INTEGER = /^(?:0|-?[1-9][0-9]*)$/
const SIMPLE_ESCAPES = '"\\/bfnrt'
const MAX_QUOTED_LENGTH = 64

/**
 * Walks a JSON text once, front to back, and finds its first mistake. It makes no values: JSON.parse does that
 * afterwards, on a text of which everything is known. The grammar is RFC 8259's.
 */
export class JsonScanner {
  readonly #text: string
  readonly #limits: JsonScanLimits
  readonly #frames: Frame[] = []
  #position = 0
  #depth = 0
  #values = 0
  #unusualKeyLength = 0

  constructor(text: string, limits: JsonScanLimits) {
    this.#text = text
    this.#limits = limits
  }

  /** What is wrong and where, or null when the document is in order. */
  scan(): string | null {
    try {
      this.#document()
      return null
    } catch (error) {
      if (error instanceof Mistake) return `${error.message}${this.#place()}`
      throw error
    }
  }

  #document(): void {
    this.#skipSpace()
    this.#value(this.#limits.shape)
    while (this.#depth > 0) {
      const frame = this.#frames[this.#depth - 1] as Frame
      this.#skipSpace()
      const code = this.#text.charCodeAt(this.#position)
      if (code === (frame.isArray ? CLOSE_BRACKET : CLOSE_BRACE)) {
        this.#position += 1
        this.#depth -= 1
        continue
      }
      if (frame.count > 0) this.#expect(COMMA)
      frame.count += 1
      this.#value(frame.isArray ? this.#element(frame) : this.#member(frame))
    }
    this.#skipSpace()
    if (this.#position < this.#text.length)
      throw new Mistake('there is something after the end of the document')
  }

  #element(frame: Frame): JsonShape {
    const { maxArrayLength } = this.#limits
    if (frame.count > maxArrayLength) throw new Mistake(`an array has more than ${maxArrayLength} elements`)
    return frame.shape
  }

  #member(frame: Frame): JsonShape {
    const { maxObjectKeys, maxKeyLength } = this.#limits
    if (frame.count > maxObjectKeys) throw new Mistake(`an object has more than ${maxObjectKeys} keys`)
    frame.key = ''
    if (this.#text.charCodeAt(this.#position) !== QUOTE) throw this.#unexpected('a key in double quotes')
    const start = this.#position
    const isPlain = this.#string()
    if (this.#position - start - 2 > maxKeyLength) throw new Mistake(`a key is longer than ${maxKeyLength}`)
    const key = isPlain ? this.#text.slice(start + 1, this.#position - 1) : this.#unusualKey(start)
    frame.key = key
    const shape = this.#checkKey(frame, key)
    this.#skipSpace()
    this.#expect(COLON)
    return shape
  }

  /** Decodes a key with escapes or beyond ASCII, which costs many times what a plain one does. */
  #unusualKey(start: number): string {
    const { maxUnusualKeyLength } = this.#limits
    this.#unusualKeyLength += this.#position - start
    if (this.#unusualKeyLength > maxUnusualKeyLength) {
      throw new Mistake(
        `keys with escapes or beyond ASCII have more than ${maxUnusualKeyLength} characters in all`,
      )
    }
    return JSON.parse(this.#text.slice(start, this.#position)) as string
  }

  #checkKey(frame: Frame, key: string): JsonShape {
    const folded = frame.shape === 'map' ? key : foldKey(key)
    const clash = frame.keys.add(key, folded)
    if (clash === key) throw new Mistake(`duplicate key ${quote(key)}`)
    if (clash !== null) throw new Mistake(`the keys ${quote(clash)} and ${quote(key)} differ only in case`)
    if (typeof frame.shape === 'string') return 'any'
    const field = frame.shape.fields.get(folded)
    if (field === undefined) return 'any'
    if (field.name !== key) throw new Mistake(`the key ${quote(key)} must be written ${quote(field.name)}`)
    return field.shape
  }

  #value(shape: JsonShape): void {
    this.#values += 1
    if (this.#values > this.#limits.maxValues) {
      throw new Mistake(`the document has more than ${this.#limits.maxValues} values`)
    }
    this.#skipSpace()
    const code = this.#text.charCodeAt(this.#position)
    if (code === QUOTE) this.#string()
    else if (code === OPEN_BRACE) this.#open(false, shape)
    else if (code === OPEN_BRACKET) this.#open(true, shape)
    else if (code === MINUS || (code >= 0x30 && code <= 0x39)) this.#number(shape)
    else this.#literal()
  }

  #open(isArray: boolean, shape: JsonShape): void {
    const { maxDepth } = this.#limits
    if (this.#depth === maxDepth) throw new Mistake(`the document is nested deeper than ${maxDepth}`)
    this.#position += 1
    this.#depth += 1
    let frame = this.#frames[this.#depth - 1]
    if (frame === undefined) {
      frame = { isArray, shape, count: 0, key: '', keys: new KeySet() }
      this.#frames.push(frame)
    }
    frame.isArray = isArray
    frame.shape = shape
    frame.count = 0
    frame.key = ''
    frame.keys.clear()
  }

  #literal(): void {
    for (const literal of ['true', 'false', 'null']) {
      if (this.#text.startsWith(literal, this.#position)) {
        this.#position += literal.length
        return
      }
    }
    throw this.#unexpected('a value')
  }

  #number(shape: JsonShape): void {
    NUMBER.lastIndex = this.#position
    const match = NUMBER.exec(this.#text)
    if (match === null) throw this.#unexpected('a number')
    const [text, fraction, exponent] = match
    const value = Number(text)
    if (shape === 'integer' && !PLAIN_INTEGER.test(text)) throw new Mistake('a number is not a plain integer')
    if (!Number.isFinite(value)) throw new Mistake('a number is out of range')
    if (fraction === undefined && exponent === undefined && !Number.isSafeInteger(value)) {
      throw new Mistake('an integer is beyond 2^53-1')
    }
    this.#position += text.length
  }

  /** Passes over a string that starts here; whether it is ASCII without escapes. */
  #string(): boolean {
    const text = this.#text
    let isPlain = true
    let position = this.#position + 1
    for (;;) {
      const code = text.charCodeAt(position)
      if (code === QUOTE) break
      if (code === BACKSLASH) {
        isPlain = false
        position = this.#escape(position)
      } else if (code >= SPACE) {
        if (code > 0x7f) isPlain = false
        position += 1
      } else {
        this.#position = position
        throw position < text.length
          ? new Mistake('a string holds a control character')
          : this.#unexpected('"')
      }
    }
    this.#position = position + 1
    return isPlain
  }

  /** Passes over the escape at the position; where it ends. Surrogates must come as a pair of escapes. */
  #escape(position: number): number {
    this.#position = position
    const kind = this.#text.charAt(position + 1)
    if (kind !== 'u') {
      if (kind === '' || !SIMPLE_ESCAPES.includes(kind)) throw new Mistake('a string holds an unknown escape')
      return position + 2
    }
    const unit = this.#hexUnit(position + 2)
    if (unit === 0) throw new Mistake('a string holds NUL')
    if (unit < 0xd800 || unit > 0xdfff) return position + 6
    const low = unit <= 0xdbff && this.#text.startsWith('\\u', position + 6) ? this.#hexUnit(position + 8) : 0
    if (low < 0xdc00 || low > 0xdfff) throw new Mistake('a string holds a lone surrogate')
    return position + 12
  }

  #hexUnit(position: number): number {
    let unit = 0
    for (let i = 0; i < 4; i += 1) {
      const digit = hexDigit(this.#text.charCodeAt(position + i))
      if (digit === -1) throw new Mistake('a string holds an unknown escape')
      unit = unit * 16 + digit
    }
    return unit
  }

  #expect(code: number): void {
    if (this.#text.charCodeAt(this.#position) !== code) throw this.#unexpected(String.fromCharCode(code))
    this.#position += 1
    this.#skipSpace()
  }

  #skipSpace(): void {
    const text = this.#text
    let position = this.#position
    let code = text.charCodeAt(position)
    while (code === SPACE || code === 0x0a || code === 0x0d || code === 0x09) {
      position += 1
      code = text.charCodeAt(position)
    }
    this.#position = position
  }

  #unexpected(wanted: string): Mistake {
    const found = this.#text.codePointAt(this.#position)
    if (found === undefined) return new Mistake(`the document ends where ${wanted} is expected`)
    return new Mistake(`${wanted} is expected, not ${quote(String.fromCodePoint(found))}`)
  }

  #place(): string {
    let path = ''
    for (const frame of this.#frames.slice(0, this.#depth)) {
      if (frame.isArray) path += `[${Math.max(0, frame.count - 1)}]`
      else if (frame.key !== '') path += `${path === '' ? '' : '.'}${shorten(frame.key)}`
    }
    return `${path === '' ? '' : ` at ${path}`} (character ${this.#position + 1})`
  }
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

function shorten(key: string): string {
  return /^[\w.-]{1,64}$/.test(key) ? key : quote(key)
}

/** A quoted form that holds no control character and is short, whatever the client sent. */
function quote(text: string): string {
  const cut = text.length > MAX_QUOTED_LENGTH ? `${text.slice(0, MAX_QUOTED_LENGTH)}…` : text
  return JSON.stringify(cut)
}
