import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { unmountBelow } from '../mounts.ts'
import {
  type CommandOptions,
  type CommandResult,
  onProcessEnd,
  runCommand,
  startProcess,
  temporaryFolder,
  waitUntilReady,
} from '../process.ts'
import { findCommand, requireTools } from '../tools.ts'

export type DockerOptions = Pick<CommandOptions, 'stdin' | 'timeoutMs' | 'allowFailure'> & {
  /** The client's DOCKER_CONFIG folder (where `docker login` writes). Default: one that belongs to the engine. */
  configDir?: string
  env?: Record<string, string>
}

export type Dockerd = AsyncDisposable & {
  /** `unix://…`, for DOCKER_HOST and engine API clients. */
  host: string
  socket: string
  configDir: string
  /** Runs the docker client against this engine. */
  docker(args: readonly string[], options?: DockerOptions): Promise<CommandResult>
  stop(): Promise<void>
  log(): string
}

/**
 * Starts a Docker engine of its own: private data, socket and configuration, no bridge and no firewall rules
 * unless `bridge` is asked for. Containers then run with `--network none` or `host`. Needs root.
 * Registries on 127.0.0.0/8 are reached by plain HTTP without any setting.
 */
export async function startDockerd(
  options: { bridge?: boolean; args?: readonly string[] } = {},
): Promise<Dockerd> {
  if (process.getuid?.() !== 0) throw new Error('a Docker engine of its own needs root')
  const { docker: client } = await requireTools('docker')
  const folder = temporaryFolder('dockerd')
  const configDir = join(folder.path, 'config')
  mkdirSync(configDir)
  const configFile = join(folder.path, 'daemon.json')
  writeFileSync(configFile, '{}') // Not the system's own, whatever it says.
  const socket = join(folder.path, 'docker.sock')
  const host = `unix://${socket}`
  const network = options.bridge ? [] : ['--bridge=none', '--iptables=false', '--ip6tables=false']
  const daemon = await startProcess(
    findCommand('dockerd') as string,
    [
      '--host',
      host,
      '--data-root',
      join(folder.path, 'data'),
      '--exec-root',
      join(folder.path, 'exec'),
      '--pidfile',
      join(folder.path, 'docker.pid'),
      '--config-file',
      configFile,
      ...network,
      ...(options.args ?? []),
    ],
    { cwd: folder.path },
  )
  const forget = onProcessEnd(() => unmountBelow(folder.path))
  const docker = (args: readonly string[], run: DockerOptions = {}): Promise<CommandResult> => {
    const { configDir: config = configDir, env, ...rest } = run
    return runCommand(client, args, {
      ...rest,
      env: { ...process.env, ...env, DOCKER_HOST: host, DOCKER_CONFIG: config },
    })
  }
  await waitUntilReady(daemon, async () => (await docker(['version'], { allowFailure: true })).code === 0)
  const stop = async (): Promise<void> => {
    await daemon.stop('SIGTERM', 30_000)
    unmountBelow(folder.path)
    forget()
    folder.remove()
  }
  return { host, socket, configDir, docker, stop, log: () => daemon.output(), [Symbol.asyncDispose]: stop }
}
