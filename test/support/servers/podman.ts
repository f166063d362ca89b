import { mkdirSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { unmountBelow } from '../mounts.ts'
import {
  type CommandOptions,
  type CommandResult,
  onProcessEnd,
  runCommand,
  temporaryFolder,
} from '../process.ts'
import { requireTools } from '../tools.ts'

const overlayfsMagic = 0x794c7630

export type ContainerToolOptions = Pick<CommandOptions, 'stdin' | 'timeoutMs' | 'allowFailure' | 'cwd'> & {
  env?: Record<string, string>
}
type Runner = (args: readonly string[], options?: ContainerToolOptions) => Promise<CommandResult>

export type Podman = AsyncDisposable & {
  /** The private auth.json of all three tools; `podman login` and `skopeo login` write it. */
  authFile: string
  /** The environment that keeps the tools to their private files, for commands of the caller's own. */
  env: Record<string, string>
  podman: Runner
  buildah: Runner
  skopeo: Runner
  stop(): Promise<void>
}

/**
 * Podman, buildah and skopeo with storage, configuration and credentials of their own, apart from the system's.
 * Nothing keeps running: podman has no daemon. Needs root for podman and buildah.
 *
 * `insecureRegistries` (host:port) may be reached by plain HTTP; skopeo takes `--src-tls-verify=false` or
 * `--dest-tls-verify=false` besides, as older versions ignore the registries file.
 */
export async function startPodman(options: { insecureRegistries?: readonly string[] } = {}): Promise<Podman> {
  const paths = await requireTools('podman', 'buildah', 'skopeo')
  const folder = temporaryFolder('podman')
  const authFile = join(folder.path, 'auth.json')
  const env = writeConfiguration(folder.path, authFile, options.insecureRegistries ?? [])
  const forget = onProcessEnd(() => unmountBelow(folder.path))
  const runner = (command: string): Runner => {
    return (args, { env: extra, ...rest } = {}) =>
      runCommand(command, args, { ...rest, env: { PATH: process.env['PATH'], ...env, ...extra } })
  }
  const podman = runner(paths.podman)
  const stop = async (): Promise<void> => {
    await podman(['rm', '--all', '--force', '--time', '0'], { allowFailure: true })
    unmountBelow(folder.path)
    forget()
    folder.remove()
  }
  return {
    authFile,
    env,
    podman,
    buildah: runner(paths.buildah),
    skopeo: runner(paths.skopeo),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

/** Arguments of `podman run` that work where limits may not be raised: the caller's own limits, not the defaults. */
export const runArguments = [
  '--network',
  'none',
  '--ulimit',
  'nofile=4096:4096',
  '--ulimit',
  'nproc=4096:4096',
]

function writeConfiguration(
  folder: string,
  authFile: string,
  insecure: readonly string[],
): Record<string, string> {
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  for (const name of ['run', 'tmp', '.config', '.config/containers'])
    mkdirSync(join(folder, name), { mode: 0o700 })
  file('.config/containers/policy.json', JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
  writeFileSync(authFile, '{"auths":{}}', { mode: 0o600 })
  // An overlay cannot lie on an overlay, as the file system of a container usually is one.
  const driver = statfsSync(folder).type === overlayfsMagic ? 'vfs' : 'overlay'
  return {
    HOME: folder,
    XDG_RUNTIME_DIR: join(folder, 'run'),
    TMPDIR: join(folder, 'tmp'),
    REGISTRY_AUTH_FILE: authFile,
    CONTAINERS_CONF: file(
      'containers.conf',
      `[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "${join(folder, 'run', 'libpod')}"
[network]
network_config_dir = "${join(folder, 'networks')}"
`,
    ),
    CONTAINERS_STORAGE_CONF: file(
      'storage.conf',
      `[storage]
driver = "${driver}"
graphroot = "${join(folder, 'graph')}"
runroot = "${join(folder, 'run', 'storage')}"
`,
    ),
    CONTAINERS_REGISTRIES_CONF: file(
      'registries.conf',
      [
        'unqualified-search-registries = []',
        ...insecure.map((location) => `[[registry]]\nlocation = "${location}"\ninsecure = true`),
      ].join('\n'),
    ),
  }
}
