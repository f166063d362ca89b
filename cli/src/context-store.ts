import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { CliError } from './cli-error.ts'

/** A console and how to call it. */
export interface Context {
  readonly url: string
  readonly token: string
  /** Used when `--project` is left out. */
  readonly project: string | null
}

export interface Contexts {
  readonly current: string | null
  readonly contexts: Readonly<Record<string, Context>>
}

const NONE: Contexts = { current: null, contexts: {} }

/** `$XDG_CONFIG_HOME/berth/config.json`, by the XDG base directory specification. */
export function contextFile(env: Readonly<Record<string, string | undefined>>): string {
  const base = env['XDG_CONFIG_HOME']
  const folder = base !== undefined && base.startsWith('/') ? base : join(env['HOME'] ?? homedir(), '.config')
  return join(folder, 'berth', 'config.json')
}

/** Reads all contexts; none when there is no file yet. Raises a usage error when the file is damaged. */
export async function loadContexts(file: string): Promise<Contexts> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return NONE
    throw new CliError('failure', `${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`)
  }
  const contexts = parseContexts(text)
  if (contexts === null) {
    throw new CliError('failure', `${file} is damaged.`, 'Remove it and log in again: berth login')
  }
  return contexts
}

function parseContexts(text: string): Contexts | null {
  try {
    const value = JSON.parse(text) as Partial<Contexts> | null
    if (typeof value?.contexts !== 'object' || value.contexts === null) return null
    const entries = Object.entries(value.contexts).map(([name, context]) => {
      const { url, token, project } = context as Partial<Context>
      if (typeof url !== 'string' || typeof token !== 'string') throw new TypeError('not a context')
      return [name, { url, token, project: typeof project === 'string' ? project : null }] as const
    })
    return { current: value.current ?? null, contexts: Object.fromEntries(entries) }
  } catch {
    return null
  }
}

/** Writes all contexts, whole or not at all. The file holds tokens: only its owner may read it. */
export async function saveContexts(file: string, contexts: Contexts): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const unfinished = `${file}.${process.pid}.new`
  const handle = await open(unfinished, 'w', 0o600)
  try {
    await handle.writeFile(`${JSON.stringify(contexts, null, 2)}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(unfinished, file)
}
