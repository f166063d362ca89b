import { CliError } from '../cli-error.ts'
import { type Define, leaf } from '../command.ts'
import { contextFile, type Contexts, loadContexts, saveContexts } from '../context-store.ts'
import { type Io, note } from '../io.ts'
import { showList } from '../output.ts'
import type { GlobalOptions, Session } from '../session.ts'

/** `contexts …` */
export const defineContexts: Define = (parent, io) => {
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
    await changeContext(io, name, (all) => withoutContext(all, name))
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

/** All contexts but one. */
export function withoutContext({ current, contexts }: Contexts, name: string): Contexts {
  const { [name]: _, ...rest } = contexts
  return { current: current === name ? null : current, contexts: rest }
}
