import { hostname } from 'node:os'
import type { Client } from '@berth/api/client'
import type { Whoami } from '@berth/api/whoami'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, withSession } from '../command.ts'
import { contextFile, loadContexts, saveContexts } from '../context-store.ts'
import { logInWithDevice } from '../device-login.ts'
import { formatRelative, printable } from '../format.ts'
import { type Io, note } from '../io.ts'
import { fields, show } from '../output.ts'
import { readSecret } from '../secret-input.ts'
import { DEFAULT_CONSOLE_URL, type GlobalOptions, openSession } from '../session.ts'
import { readVersion } from '../version.ts'
import { withoutContext } from './contexts.ts'

interface LoginOptions extends GlobalOptions {
  readonly name?: string
  readonly token?: boolean
}

/** `login`, `logout` and `whoami`. */
export const defineLogin: Define = (parent, io) => {
  leaf(parent, 'login [url]', 'log in to a console in the browser, and remember it')
    .option('--name <name>', "name of the context (default: the console's host)")
    .option('--token', 'with the operator token or a personal access token instead')
    .addHelpText('after', LOGIN_HELP)
    .action(async (url: string | undefined, _options: unknown, command) => {
      await login(io, url, command.optsWithGlobals() as LoginOptions)
    })
  leaf(parent, 'logout', 'end the session of the current context, and forget it')
    .option('--local', 'only forget it here: session or token go on working elsewhere')
    .action(async (_options: unknown, command) => {
      await logout(io, command.optsWithGlobals() as GlobalOptions & { readonly local?: boolean })
    })
  leaf(parent, 'whoami', 'show whom the console takes you for').action(
    withSession(io, async (session) => {
      const who = await session.client.call('whoami', {})
      show(session, { url: session.client.baseUrl, ...who }, ({ url, principal, installation }) =>
        fields([
          ['Console', url],
          ...describePrincipal(principal, io.nowMs()),
          ['Installation', installation.id],
          ['Version', installation.version],
        ]),
      )
    }),
  )
}

const LOGIN_HELP = `
Shows a code and an address: open it in any browser, on any machine, sign in and approve.

With --token the token is asked for on a terminal, else read from standard input or BERTH_TOKEN:
  berth login https://console.example --token < token-file
`

async function login(io: Io, given: string | undefined, options: LoginOptions): Promise<void> {
  const url = normalizeUrl(given ?? io.env['BERTH_CONSOLE_URL'] ?? DEFAULT_CONSOLE_URL)
  const file = contextFile(io.env)
  // Before anything is asked: a damaged file must be told first.
  await loadContexts(file)
  warnAboutPlainHttp(io, url)
  const token = await obtainToken(io, url, options)
  const { createClient } = await import('@berth/api/client')
  const client = createClient({ baseUrl: url.href, token, userAgent: userAgent() })
  const who = await client.call('whoami', {})
  const name = options.name ?? url.host
  // Read again: it took a person to get here, and another login may have been faster.
  const before = await loadContexts(file)
  const project = before.contexts[name]?.project ?? null
  const contexts = { ...before.contexts, [name]: { url: client.baseUrl, token, project } }
  await saveContexts(file, { current: name, contexts })
  const session = { io, options }
  show(session, { context: name, url: client.baseUrl, ...who }, ({ principal }) => [
    `Logged in to ${client.baseUrl} as ${nameOf(principal)}. The context "${name}" is current.`,
  ])
}

async function obtainToken(io: Io, url: URL, { token }: LoginOptions): Promise<string> {
  const fromEnvironment = io.env['BERTH_TOKEN']
  if (fromEnvironment !== undefined) return fromEnvironment
  if (token === true) return readSecret(io, `Operator token or personal access token for ${url.origin}`)
  return logInWithDevice(io, url.href, `${userAgent()} on ${hostname()}`)
}

function userAgent(): string {
  return `berth-cli/${readVersion()}`
}

function nameOf(principal: Whoami['principal']): string {
  return principal.kind === 'operator' ? 'operator' : printable(principal.email)
}

function describePrincipal(principal: Whoami['principal'], nowMs: number): [string, string][] {
  if (principal.kind === 'operator') return [['You are', 'operator']]
  const { name, email, isOperator, via, steppedUpUntil } = principal
  const confirmed = steppedUpUntil !== null && Date.parse(steppedUpUntil) > nowMs
  return [
    ['You are', `${printable(name)} <${printable(email)}>${isOperator ? ', operator' : ''}`],
    ['By', via === 'session' ? 'session' : 'personal access token'],
    ...(via === 'session'
      ? ([['Confirmed', confirmed ? `until ${formatRelative(steppedUpUntil, nowMs)}` : 'not lately']] as [
          string,
          string,
        ][])
      : []),
  ]
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

async function logout(io: Io, options: GlobalOptions & { readonly local?: boolean }): Promise<void> {
  const file = contextFile(io.env)
  const contexts = await loadContexts(file)
  const name = options.context ?? contexts.current
  if (name === null || contexts.contexts[name] === undefined) {
    note(io, 'You are not logged in.')
    return
  }
  // Only with the context's own token: one of the environment is not what is forgotten here.
  const session = await openSession(
    { ...io, env: { ...io.env, BERTH_TOKEN: undefined } },
    { ...options, context: name },
  )
  const ended = options.local === true ? 'it goes on working elsewhere' : await endOnServer(session.client)
  await saveContexts(file, withoutContext(contexts, name))
  note(io, `"${name}" is forgotten here; ${ended}.`)
}

/** Ends the session or token that the client calls with. Answers what became of it; never fails. */
async function endOnServer(client: Client): Promise<string> {
  try {
    const { principal } = await client.call('whoami', {})
    if (principal.kind === 'operator') return 'the operator token goes on working'
    if (principal.via === 'token') {
      await client.call('personalTokens.revoke', { params: { token: 'current' } })
      return 'the personal access token is revoked'
    }
    await client.call('sessions.end', { params: { session: 'current' } })
    return 'the session is ended'
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'unauthenticated') {
      return 'it had ended already'
    }
    return 'the console could not be told, so it may go on working (berth sessions list, from elsewhere)'
  }
}
