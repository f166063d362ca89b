import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  freePort,
  portAnswers,
  runCommand,
  startProcess,
  temporaryFolder,
  waitUntilReady,
} from '../process.ts'
import { requireTools } from '../tools.ts'

export type DockerRegistryOptions = {
  /** Basic authentication with these credentials (bcrypt in an htpasswd file). Default: none. */
  credentials?: { username: string; password: string }
  /** Bearer authentication: tokens of this service, signed by a certificate that the bundle vouches for. */
  token?: { realm: string; service: string; issuer: string; rootCertBundle: string }
  /** Serve TLS with this certificate. Default: plain HTTP. */
  tls?: { certFile: string; keyFile: string }
  /** Keep descriptors in memory, as its documentation recommends for production. Default: true. */
  descriptorCache?: boolean
}

export type DockerRegistry = AsyncDisposable & {
  url: string
  /** host:port, as an image reference begins. */
  host: string
  pid: number
  folder: string
  stop(): Promise<void>
  log(): string
}

/** Starts Debian's docker-registry (distribution) on a free loopback port, as a peer to copy from or compare with. */
export async function startDockerRegistry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const paths = await requireTools('docker-registry', ...(options.credentials ? (['htpasswd'] as const) : []))
  const folder = temporaryFolder('docker-registry')
  const port = await freePort()
  const storage = join(folder.path, 'storage')
  mkdirSync(storage)
  let auth = ''
  if (options.credentials) {
    const { username, password } = options.credentials
    const entry = await runCommand((paths as { htpasswd: string }).htpasswd, ['-Bin', username], {
      stdin: password,
    })
    writeFileSync(join(folder.path, 'htpasswd'), entry.stdout.trim())
    auth = `auth:\n  htpasswd:\n    realm: test\n    path: ${join(folder.path, 'htpasswd')}\n`
  }
  if (options.token) {
    const { realm, service, issuer, rootCertBundle } = options.token
    auth = `auth:\n  token:\n    realm: ${realm}\n    service: ${service}\n    issuer: ${issuer}\n    rootcertbundle: ${rootCertBundle}\n`
  }
  const { tls } = options
  const tlsLines =
    tls === undefined ? '' : `  tls:\n    certificate: ${tls.certFile}\n    key: ${tls.keyFile}\n`
  const configFile = join(folder.path, 'config.yml')
  const cache = options.descriptorCache === false ? '' : '  cache:\n    blobdescriptor: inmemory\n'
  writeFileSync(
    configFile,
    `version: 0.1
log:
  level: warn
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: ${storage}
  delete:
    enabled: true
${cache}http:
  addr: 127.0.0.1:${port}
${tlsLines}${auth}`,
  )
  const server = await startProcess(paths['docker-registry'], ['serve', configFile], { cwd: folder.path })
  const url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  const answers = async (): Promise<boolean> =>
    tls === undefined ? [200, 401].includes((await fetch(`${url}/v2/`)).status) : portAnswers(port)
  await waitUntilReady(server, answers)
  const stop = async (): Promise<void> => {
    await server.stop()
    folder.remove()
  }
  return {
    url,
    host: `127.0.0.1:${port}`,
    pid: server.pid,
    folder: storage,
    stop,
    log: () => server.output(),
    [Symbol.asyncDispose]: stop,
  }
}
