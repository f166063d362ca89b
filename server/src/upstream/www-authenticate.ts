import { MAX_CHALLENGE_BYTES, MAX_CHALLENGES } from './limits.ts'

/** One challenge of a WWW-Authenticate header. */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>
}

// RFC 9110, sections 5.6.2, 5.6.4 and 11.2. All expressions are sticky and linear.
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const QUOTED = /"((?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*)"/y
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/y
const SPACES = /[ \t]*/y
const PARAMETER_AHEAD = /[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*=[ \t]*(?:"|[!#$%&'*+.^_`|~0-9A-Za-z-])/y

/**
 * Reads every challenge of a header, several of which may have been joined by commas. Null when the header does not follow
 * the grammar to its end, names a parameter twice, or is longer than MAX_CHALLENGE_BYTES: who cannot be understood in
 * full is not sent a secret.
 */
export function parseChallenges(header: string): readonly Challenge[] | null {
  if (header.length > MAX_CHALLENGE_BYTES) return null
  const reader = new Reader(header)
  const challenges: Challenge[] = []
  reader.skipCommas()
  while (!reader.atEnd()) {
    const challenge = readChallenge(reader)
    if (challenge === null || challenges.length === MAX_CHALLENGES) return null
    challenges.push(challenge)
    if (!reader.atEnd() && !reader.skipCommas()) return null
  }
  return challenges
}

function readChallenge(reader: Reader): Challenge | null {
  const scheme = reader.take(TOKEN)?.[0]
  if (scheme === undefined) return null
  const parameters = new Map<string, string>()
  const challenge = { scheme: scheme.toLowerCase(), parameters }
  const hadSpace = (reader.take(SPACES)?.[0] ?? '') !== ''
  if (reader.atEnd() || reader.sees(',')) return challenge
  if (!hadSpace) return null
  if (!reader.matches(PARAMETER_AHEAD)) return reader.take(TOKEN68) === null ? null : challenge
  for (;;) {
    const parameter = readParameter(reader)
    if (parameter === null || parameters.has(parameter.name)) return null
    parameters.set(parameter.name, parameter.value)
    reader.take(SPACES)
    const before = reader.position
    // A comma ends either the parameter or the challenge: only what follows it tells.
    if (!reader.skipCommas() || !reader.matches(PARAMETER_AHEAD)) {
      reader.position = before
      return challenge
    }
  }
}

function readParameter(reader: Reader): { name: string; value: string } | null {
  const name = reader.take(TOKEN)?.[0].toLowerCase()
  reader.take(SPACES)
  if (name === undefined || !reader.skip('=')) return null
  reader.take(SPACES)
  const quoted = reader.take(QUOTED)?.[1]
  const value = quoted === undefined ? reader.take(TOKEN)?.[0] : quoted.replaceAll(/\\(.)/g, '$1')
  return value === undefined ? null : { name, value }
}

class Reader {
  position = 0
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  atEnd(): boolean {
    return this.position >= this.#text.length
  }

  sees(char: string): boolean {
    return this.#text[this.position] === char
  }

  skip(char: string): boolean {
    if (!this.sees(char)) return false
    this.position += 1
    return true
  }

  matches(pattern: RegExp): boolean {
    pattern.lastIndex = this.position
    return pattern.test(this.#text)
  }

  take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.position
    const match = pattern.exec(this.#text)
    if (match !== null) this.position += match[0].length
    return match
  }

  /** Commas and the white space around them; whether there was a comma. Empty list elements are allowed. */
  skipCommas(): boolean {
    let found = false
    this.take(SPACES)
    while (this.skip(',')) {
      found = true
      this.take(SPACES)
    }
    return found
  }
}
