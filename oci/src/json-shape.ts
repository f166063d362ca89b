import { foldKey } from './key-folding.ts'

/**
 * What is known about the value at one place of a document, for the checks that depend on it. An array has the
 * shape of its elements.
 * - an object shape: its known fields, which nobody may write in another case
 * - 'map': keys are data, as in annotations; only exact duplicates are refused
 * - 'integer': a number here is written as plain digits, for `1.0` and `1e3` are no integers to Go
 * - 'any': nothing is known; keys that a case-insensitive reader would confuse are refused
 */
export type JsonShape = ObjectShape | 'map' | 'integer' | 'any'

export interface ObjectShape {
  /** Known fields by their folded name. */
  readonly fields: ReadonlyMap<string, { readonly name: string; readonly shape: JsonShape }>
}

/** An object with these known fields. Other fields may be there too and have the shape 'any'. */
export function objectShape(fields: Readonly<Record<string, JsonShape>>): ObjectShape {
  return {
    fields: new Map(Object.entries(fields).map(([name, shape]) => [foldKey(name), { name, shape }])),
  }
}
