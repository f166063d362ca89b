import { CliError } from '../cli-error.ts'
import { type Define, leaf } from '../command.ts'
import { contextFile, type Contexts, loadContexts, saveContexts } from '../context-store.ts'
import { type Io, note } from '../io.ts'
import { fields, show, showList } from '../output.ts'
import { readSecret } from '../secret-input.ts'
import { DEFAULT_CONSOLE_URL, type GlobalOptions, type Session } from '../session.ts'
import { withSession } from '../command.ts'

interface LoginOptions extends GlobalOptions {
  readonly name?: string
}

/** `login`, `logout`, `whoami` and `contexts`. */
export const defineLogin: Define = (parent, io) => {
  leaf(parent, 'login [url]', 'log in to a console with the operator token, and remember it')
    .option('--name <name>', "name of the context (default: the console's host)")
    .addHelpText('after', LOGIN_HELP)
    .action(async (url: string | undefined, _options: unknown, command) => {
      await login(io, url, command.optsWithGlobals() as LoginOptions)
    })
  leaf(parent, 'logout', 'forget the token of the current context').action(
    async (_options: unknown, command) => {
      await logout(io, (command.optsWithGlobals() as GlobalOptions).context)
    },
  )
  leaf(parent, 'whoami', 'show whom the console takes you for').action(
    withSession(io, async (session) => {
      const who = await session.client.call('whoami', {})
      show(session, { url: session.client.baseUrl, ...who }, ({ url, principal, installation }) =>
        fields([
          ['Console', url],
          ['You are', principal.kind],
          ['Installation', installation.id],
          ['Version', installation.version],
        ]),
      )
    }),
  )
  defineContexts(parent, io)
}

const LOGIN_HELP = `
The token is asked for on a terminal, else read from standard input or BERTH_TOKEN:
  berth login https://console.example < token-file
`

async function login(io: Io, given: string | undefined, options: LoginOptions): Promise<void> {
  const url = normalizeUrl(given ?? io.env['BERTH_CONSOLE_URL'] ?? DEFAULT_CONSOLE_URL)
  const file = contextFile(io.env)
  const before = await loadContexts(file)
  const token = io.env['BERTH_TOKEN'] ?? (await readSecret(io, `Operator token for ${url.origin}`))
  warnAboutPlainHttp(io, url)
  const { createClient } = await import('@berth/api/client')
  const client = createClient({ baseUrl: url.href, token })
  const who = await client.call('whoami', {})
  const name = options.name ?? url.host
  const project = before.contexts[name]?.project ?? null
  const contexts = { ...before.contexts, [name]: { url: client.baseUrl, token, project } }
  await saveContexts(file, { current: name, contexts })
  const session = { io, options }
  show(session, { context: name, url: client.baseUrl, ...who }, ({ principal }) => [
    `Logged in to ${client.baseUrl} as ${principal.kind}. The context "${name}" is current.`,
  ])
}

function normalizeUrl(text: string): URL {
  const url = URL.parse(text.includes('://') ? text : `https://${text}`)
  if (
    url === null ||
    !/^https?:$/.test(url.protocol) ||
    url.username !== '' ||
    url.search !== '' ||
    url.hash !== ''
  ) {
    throw new CliError(
      'usage',
      `"${text}" is not the address of a console.`,
      'Example: https://console.example',
    )
  }
  return url
}

const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

function warnAboutPlainHttp(io: Io, url: URL): void {
  if (url.protocol === 'https:' || LOOPBACK.test(url.hostname)) return
  note(io, `warning: ${url.origin} is not encrypted: the token can be read on the way.`)
}

async function logout(io: Io, named: string | undefined): Promise<void> {
  const file = contextFile(io.env)
  const contexts = await loadContexts(file)
  const name = named ?? contexts.current
  if (name === null || contexts.contexts[name] === undefined) {
    note(io, 'You are not logged in.')
    return
  }
  await saveContexts(file, without(contexts, name))
  note(io, `The token of "${name}" is forgotten here. It goes on working elsewhere.`)
}

function without({ current, contexts }: Contexts, name: string): Contexts {
  const { [name]: _, ...rest } = contexts
  return { current: current === name ? null : current, contexts: rest }
}

const defineContexts: Define = (parent, io) => {
  const contexts = parent.command('contexts').description('consoles that you are logged in to')
  leaf(contexts, 'list', 'list contexts').action(async (_options: unknown, command) => {
    await listContexts(io, command.optsWithGlobals() as GlobalOptions)
  })
  leaf(contexts, 'use <name>', 'make a context the current one').action(async (name: string) => {
    await changeContext(io, name, (all) => ({ ...all, current: name }))
    note(io, `The context "${name}" is current.`)
  })
  leaf(contexts, 'set-project <project>', 'set the project of the current context').action(
    async (project: string, _options: unknown, command) => {
      const { context } = command.optsWithGlobals() as GlobalOptions
      const name = context ?? (await loadContexts(contextFile(io.env))).current ?? ''
      await changeContext(io, name, (all, own) => ({
        ...all,
        contexts: { ...all.contexts, [name]: { ...own, project } },
      }))
      note(io, `"${project}" is the project of the context "${name}".`)
    },
  )
  leaf(contexts, 'remove <name>', 'forget a context and its token').action(async (name: string) => {
    await changeContext(io, name, (all) => without(all, name))
    note(io, `The context "${name}" is forgotten.`)
  })
}

async function changeContext(
  io: Io,
  name: string,
  change: (all: Contexts, own: Contexts['contexts'][string]) => Contexts,
): Promise<void> {
  const file = contextFile(io.env)
  const all = await loadContexts(file)
  const own = all.contexts[name]
  if (own === undefined) {
    throw new CliError('notFound', `There is no context "${name}".`, 'Log in with: berth login')
  }
  await saveContexts(file, change(all, own))
}

async function listContexts(io: Io, options: GlobalOptions): Promise<void> {
  const { current, contexts } = await loadContexts(contextFile(io.env))
  // Tokens stay in the file.
  const items = Object.entries(contexts).map(([name, { url, project }]) => ({
    name,
    url,
    project,
    current: name === current,
  }))
  const session = { io, options } as Session
  showList(
    session,
    { items, nextCursor: null },
    [
      { title: '', value: (row) => (row.current ? '*' : '') },
      { title: 'NAME', value: (row) => row.name },
      { title: 'CONSOLE', value: (row) => row.url, shrink: true },
      { title: 'PROJECT', value: (row) => row.project ?? '' },
    ],
    'You are not logged in anywhere. Log in with: berth login',
  )
}
