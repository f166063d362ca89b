import { readFileSync } from 'node:fs'

/** The version of this code: all parts of Berth have the same. */
export function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}
