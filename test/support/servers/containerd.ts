import { writeFileSync } from 'node:fs'
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

export type Containerd = AsyncDisposable & {
  socket: string
  /** Runs ctr against this containerd, in the namespace `berth-test`. */
  ctr(
    args: readonly string[],
    options?: Pick<CommandOptions, 'stdin' | 'timeoutMs' | 'allowFailure'>,
  ): Promise<CommandResult>
  stop(): Promise<void>
  log(): string
}

/** Starts a containerd with its own root, state and socket. Needs root. Pull with `images pull --plain-http`. */
export async function startContainerd(): Promise<Containerd> {
  if (process.getuid?.() !== 0) throw new Error('a containerd of its own needs root')
  const { containerd } = await requireTools('containerd')
  const client = findCommand('ctr') as string
  const folder = temporaryFolder('containerd')
  const socket = join(folder.path, 'containerd.sock')
  const configFile = join(folder.path, 'config.toml')
  writeFileSync(
    configFile,
    `version = 2
root = "${join(folder.path, 'root')}"
state = "${join(folder.path, 'state')}"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${socket}"
`,
  )
  const daemon = await startProcess(containerd, ['--config', configFile], { cwd: folder.path })
  const forget = onProcessEnd(() => unmountBelow(folder.path))
  const ctr: Containerd['ctr'] = (args, options = {}) =>
    runCommand(client, ['--address', socket, '--namespace', 'berth-test', ...args], options)
  await waitUntilReady(daemon, async () => (await ctr(['version'], { allowFailure: true })).code === 0)
  const stop = async (): Promise<void> => {
    await daemon.stop()
    unmountBelow(folder.path)
    forget()
    folder.remove()
  }
  return { socket, ctr, stop, log: () => daemon.output(), [Symbol.asyncDispose]: stop }
}
