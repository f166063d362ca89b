import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { portAnswers, startProcess, temporaryFolder, waitUntilReady } from '../process.ts'
import { requireTools } from '../tools.ts'

export type CaddyOptions = {
  /** The Caddyfile's text. A global block is put before it unless it begins with one (`{`). */
  caddyfile: string
  /** A port that the Caddyfile serves; the server is ready when it answers. */
  port: number
  /** Environment for `{$NAME}` placeholders in the Caddyfile. */
  env?: Record<string, string>
}

export type Caddy = AsyncDisposable & {
  port: number
  pid: number
  stop(): Promise<void>
  log(): string
}

const globalBlock = `{
  admin off
  auto_https disable_redirects
  skip_install_trust
}
`

/** Starts Caddy with a Caddyfile, its data in a folder of its own and no admin port; ready when it returns. */
export async function startCaddy(options: CaddyOptions): Promise<Caddy> {
  const { caddy } = await requireTools('caddy')
  const folder = temporaryFolder('caddy')
  const configFile = join(folder.path, 'Caddyfile')
  const text = options.caddyfile.trimStart()
  writeFileSync(configFile, text.startsWith('{\n') ? text : globalBlock + text)
  const server = await startProcess(caddy, ['run', '--config', configFile, '--adapter', 'caddyfile'], {
    cwd: folder.path,
    env: {
      ...process.env,
      ...options.env,
      HOME: folder.path,
      XDG_CONFIG_HOME: join(folder.path, 'config'),
      XDG_DATA_HOME: join(folder.path, 'data'),
    },
  })
  await waitUntilReady(server, () => portAnswers(options.port))
  const stop = async (): Promise<void> => {
    await server.stop()
    folder.remove()
  }
  return {
    port: options.port,
    pid: server.pid,
    stop,
    log: () => server.output(),
    [Symbol.asyncDispose]: stop,
  }
}
