/**
 * One configuration variable: an environment variable, and a key of berth.yaml with the same meaning. `parse` gets the
 * text and throws `InvalidValue` with a sentence that says what would be right.
 */
export interface Variable<Value> {
  readonly env: string
  /** Key in berth.yaml. */
  readonly key: string
  readonly description: string
  /** Shown in the documentation; the value itself comes from `defaultValue`. */
  readonly defaultText: string
  readonly defaultValue: Value
  /** Also readable from a file named by `<env>_FILE`; never printed. */
  readonly secret: boolean
  readonly parse: (text: string) => Value
}

/** A setting that may be shown. */
export function variable<Value, Parsed extends Value>(
  env: string,
  key: string,
  description: string,
  defaultText: string,
  defaultValue: Value,
  parse: (text: string) => Parsed,
): Variable<Value> & { parse: (text: string) => Parsed } {
  return { env, key, description, defaultText, defaultValue, secret: false, parse }
}

/** A setting that is never shown, and can come from a file. */
export function secret(
  env: string,
  key: string,
  description: string,
  parse: (text: string) => string,
): Variable<string | null> & { parse: (text: string) => string } {
  return { env, key, description, defaultText: '(none)', defaultValue: null, secret: true, parse }
}
