import { after } from 'node:test'
import { type Berth, startBerth } from '../support/berth.ts'
import { type Client, createClient, type Credential } from './client.ts'

/** A started Berth, to be tested as any registry: over HTTP. */
export type Registry = {
  readonly berth: Berth
  /** Makes a project with a key of every action. Its namespace begins each of its repositories' names. */
  openProject(namespace: string, options?: Record<string, unknown>): Promise<Project>
  /** A client of the registry; null for an anonymous one. */
  clientOf(credential: Credential | null, scheme?: 'bearer' | 'basic'): Client
}

export type Project = {
  readonly id: string
  readonly namespace: string
  readonly credential: Credential
  /** Signs in with the key by the Bearer flow. */
  readonly client: Client
}

/** Starts one Berth for all tests of the file that calls this, on the stack of the run, and stops it after them. */
export async function startRegistry(env: Record<string, string> = {}): Promise<Registry> {
  const berth = await startBerth({ env })
  const clients: Client[] = []
  after(async () => {
    for (const client of clients) client.close()
    await berth[Symbol.asyncDispose]()
  })
  function clientOf(credential: Credential | null, scheme: 'bearer' | 'basic' = 'bearer'): Client {
    const client = createClient({ origin: berth.registryUrl, credential, scheme, serverLog: berth.log })
    clients.push(client)
    return client
  }
  return {
    berth,
    clientOf,
    async openProject(namespace, options = {}) {
      const { id } = await berth.createProject(namespace, options)
      const { key } = await berth.createKey(id, { actions: ['pull', 'push', 'delete'] })
      const credential = { username: 'api', password: key }
      return { id, namespace, credential, client: clientOf(credential) }
    },
  }
}
