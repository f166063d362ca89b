/** Traces of the inside of a server in what it shows. */
const TRACES: readonly (readonly [what: string, pattern: RegExp])[] = [
  ['stack trace', /^\s*at .+[:(]\d+/m],
  ['stack trace', /\\n\s*at /],
  ['source file', /\.(?:ts|js|mjs):\d+/],
  ['source file', /node_modules|node:internal|file:\/\//],
  ['database', /SQLITE_|sqlite|kysely|postgres|relation "|SELECT |INSERT /i],
  ['system error', /\bE(?:NOENT|ACCES|CONN\w+|PERM|XIST|NOSPC|PIPE|IO)\b|errno|syscall/],
  ['engine message', /undefined|\[object |Cannot read prop|is not a function|TypeError|RangeError|FST_ERR/],
]

/** Names what must not be shown: stacks, paths, names of the machinery, secrets. Empty: nothing. */
export function findLeaks(
  text: string,
  known: { readonly secrets: readonly string[]; readonly folders: readonly string[] },
): string[] {
  const traces = TRACES.flatMap(([what, pattern]) => {
    const match = pattern.exec(text)
    return match === null ? [] : [`${what}: ${match[0].slice(0, 80)}`]
  })
  const folders = known.folders.filter((folder) => text.includes(folder)).map((folder) => `folder: ${folder}`)
  const secrets = known.secrets.flatMap((secret, n) => (text.includes(secret) ? [`secret ${n}`] : []))
  return [...traces, ...folders, ...secrets]
}
