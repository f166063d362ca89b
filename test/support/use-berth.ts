import { after, afterEach, type TestContext } from 'node:test'
import { type Berth, type BerthOptions, type KeyAnswer, type ProjectAnswer, startBerth } from './berth.ts'
import type { ImageSource } from './read-image.ts'

const shownLogCharacters = 4000

/** The Berth of one test file, with the project `acme` and a key that may pull and push there. */
export type FileBerth = {
  /**
   * Starts it; belongs into the file's one `before`, first. (Several `before` outside of a suite run at the same time,
   * and what one of them starts after another has failed is never stopped.)
   */
  start(): Promise<void>
  /** The server itself. Like everything below, there from `start` to the end of the tests. */
  readonly server: Berth
  readonly project: ProjectAnswer
  readonly key: KeyAnswer
  /** host:port, as image references begin. */
  readonly host: string
  /** Full name of a repository of the project: `reference('web:1')` is `127.0.0.1:PORT/acme/web:1`. */
  reference(pathAndTag: string): string
  /** The same repository for reading back what it holds: `source('web')`. */
  source(path: string): ImageSource
}

/** One Berth for all tests of the calling file. Stops it in the end, and shows its log after a failed test. */
export function useBerth(options: Omit<BerthOptions, 'test'> = {}): FileBerth {
  let started: { server: Berth; project: ProjectAnswer; key: KeyAnswer } | undefined
  const start = async (): Promise<void> => {
    const server = await startBerth(options)
    try {
      const project = await server.createProject('acme')
      started = { server, project, key: await server.createKey(project.id) }
    } catch (error) {
      await server[Symbol.asyncDispose]()
      throw error
    }
  }
  afterEach((context) => {
    const { passed } = context as TestContext & { passed?: boolean } // Not in Node's type declarations yet.
    if (passed === false) (context as TestContext).diagnostic(`--- berth ---\n${logEnd(started?.server)}`)
  })
  after(async () => started?.server[Symbol.asyncDispose]())
  const running = (): NonNullable<typeof started> => {
    if (started === undefined) throw new Error('Berth was not started, or the tests are over')
    return started
  }
  return {
    start,
    get server() {
      return running().server
    },
    get project() {
      return running().project
    },
    get key() {
      return running().key
    },
    get host() {
      return running().server.registryHost
    },
    reference: (pathAndTag) => `${running().server.registryHost}/acme/${pathAndTag}`,
    source: (path) => ({
      url: running().server.registryUrl,
      repository: `acme/${path}`,
      authorization: running().key.authorization,
    }),
  }
}

function logEnd(server: Berth | undefined): string {
  return server === undefined ? 'did not start' : server.log().slice(-shownLogCharacters)
}
