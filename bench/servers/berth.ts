import { join } from 'node:path'
import { call } from '../http.ts'
import type { Scope, ServerAdapter, Site } from './server.ts'

/** With which the console is asked. */
export const OPERATOR_TOKEN = 'bench-operator-token-0123456789abcdef'
/** As in package.json's start script. */
const NODE_FLAGS = ['--max-semi-space-size=4']
const ENTRY = join(import.meta.dirname, '../../cli/bin/berth.js')

/**
 * Berth as `npm start` runs it: one process, SQLite and a blob folder, its default log. Requests carry the Bearer token
 * that a client gets for its API key. With `profileFolder`, each start writes a V8 CPU profile there when it stops.
 */
export function berth(options: { profileFolder: string | null }): ServerAdapter {
  const profiling =
    options.profileFolder === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profileFolder}`]
  return {
    id: 'berth',
    whenMissing: 'run npm ci first',
    pagesTags: true,
    async configure() {},
    command: (site) => ({
      file: process.execPath,
      argv: [...profiling, ...NODE_FLAGS, ENTRY, 'serve'],
      env: {
        PATH: '/usr/local/bin:/usr/bin:/bin',
        HOME: site.folder,
        BERTH_DATA_DIR: join(site.folder, 'data'),
        BERTH_REGISTRY_ADDR: `127.0.0.1:${site.port}`,
        BERTH_CONSOLE_ADDR: `127.0.0.1:${site.consolePort}`,
        BERTH_OPERATOR_TOKEN: OPERATOR_TOKEN,
        BERTH_REGIONS: `local=Local@localhost:${site.port}`,
      },
    }),
    async signIn(site) {
      await post(site, '/api/v1/projects', { name: 'Bench', namespace: 'bench' })
      const created = await post(site, '/api/v1/projects/bench/api-keys', {
        name: 'bench',
        actions: ['pull', 'push', 'delete'],
      })
      const basic = `Basic ${Buffer.from(`api:${String(created['key'])}`).toString('base64')}`
      return (scopes) => fetchToken(site, basic, scopes)
    },
  }
}

async function fetchToken(site: Site, basic: string, scopes: readonly Scope[]): Promise<string> {
  const query = scopes.map((scope) => `scope=${encodeURIComponent(scope)}`).join('&')
  const path = `/auth/token?service=localhost:${site.port}&${query}`
  const answer = await call({ port: site.port, method: 'GET', path, headers: { authorization: basic } })
  if (answer.status !== 200) throw new Error(`Berth gave no token: ${answer.status} ${answer.text()}`)
  return `Bearer ${(answer.json() as { token: string }).token}`
}

async function post(site: Site, path: string, body: unknown): Promise<Record<string, unknown>> {
  const answer = await call({
    port: site.consolePort,
    method: 'POST',
    path,
    headers: { authorization: `Bearer ${OPERATOR_TOKEN}`, 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify(body)),
  })
  if (answer.status < 200 || answer.status > 299) {
    throw new Error(`Berth refused POST ${path}: ${answer.status} ${answer.text()}`)
  }
  return answer.json() as Record<string, unknown>
}
