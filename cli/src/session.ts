import type { Client } from '@berth/api/client'
import { CliError } from './cli-error.ts'
import { type Context, contextFile, type Contexts, loadContexts } from './context-store.ts'
import type { Io } from './io.ts'
import { readVersion } from './version.ts'

/** Options that every command takes. */
export interface GlobalOptions {
  readonly json?: boolean
  readonly context?: string
  readonly project?: string
  readonly yes?: boolean
}

/** One run of a command: its console, its project, its output. */
export interface Session {
  readonly io: Io
  readonly options: GlobalOptions
  readonly client: Client
  /** The project that was named, or the context's. Raises a usage error when there is none. */
  project(): string
}

/** The console of this machine when nothing else is said. */
export const DEFAULT_CONSOLE_URL = 'http://127.0.0.1:8080'

/** Opens the console that options, environment and contexts name, in this order. */
export async function openSession(io: Io, options: GlobalOptions): Promise<Session> {
  const contexts = await loadContexts(contextFile(io.env))
  const context = chooseContext(io, options, contexts)
  const { createClient } = await import('@berth/api/client')
  const { url, token } = context
  const client = createClient({ baseUrl: url, token, userAgent: `berth-cli/${readVersion()}` })
  return {
    io,
    options,
    client,
    project: () => options.project ?? io.env['BERTH_PROJECT'] ?? context.project ?? failWithoutProject(),
  }
}

function chooseContext(
  io: Io,
  options: GlobalOptions,
  { current, contexts }: Contexts,
): Omit<Context, 'token'> & { readonly token: string | null } {
  const named = options.context ?? io.env['BERTH_CONTEXT']
  const name = named ?? current ?? ''
  const context = Object.hasOwn(contexts, name) ? contexts[name] : undefined
  if (named !== undefined && context === undefined) {
    throw new CliError('usage', `There is no context "${named}".`, 'See which there are: berth contexts list')
  }
  const url = named === undefined ? io.env['BERTH_CONSOLE_URL'] : undefined
  return {
    url: url ?? context?.url ?? DEFAULT_CONSOLE_URL,
    // A token is sent only to the console that it was stored for, unless it comes from the environment.
    token:
      io.env['BERTH_TOKEN'] ?? (url === undefined || url === context?.url ? (context?.token ?? null) : null),
    project: context?.project ?? null,
  }
}

function failWithoutProject(): never {
  throw new CliError(
    'usage',
    'Which project? Name one with --project or BERTH_PROJECT.',
    'To set one for this console: berth contexts set-project <project>',
  )
}
