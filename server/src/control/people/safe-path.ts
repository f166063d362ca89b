const MAX_PATH_LENGTH = 2_000

/**
 * A path of this console to go on at, from what a request says; `fallback` for anything else. Browsers read `//host`,
 * `/\host` and paths with tabs or line ends as other sites.
 */
export function safePath(given: unknown, fallback: string): string {
  if (typeof given !== 'string' || given.length > MAX_PATH_LENGTH) return fallback
  if (!/^\/(?![/\\])[\x21-\x7e]*$/.test(given) || given.includes('\\')) return fallback
  const url = URL.parse(given, 'http://console.invalid')
  if (url === null || url.origin !== 'http://console.invalid') return fallback
  // Once more as the URL parser reads it: /..//host comes out as //host.
  const path = url.pathname + url.search
  return path.startsWith('//') ? fallback : path
}
