/**
 * Installs what a suite needs, or says what is missing and how to get it: Debian packages with apt when this
 * runs as root on Debian or Ubuntu, Go programs built at a pinned version through the Go module proxy.
 */
import { createHash } from 'node:crypto'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { CommandError, runCommand, waitFor } from './process.ts'
import { type AptTool, type GoSource, type GoTool, type ToolName, tools } from './tool-table.ts'

const aptTimeoutMs = 15 * 60_000
const goBuildTimeoutMs = 20 * 60_000
const refusalLifetimeMs = 24 * 60 * 60_000
const lockTimeoutMs = 30 * 60_000
const extraFolders = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/go/bin']

export type MissingTool = {
  name: ToolName
  reason: string
  /** What a person can run or read to get it. */
  howToGet: string
}

export type Toolbox = {
  /** The tools that can be used, with the absolute path of each one's command. */
  available: Map<ToolName, string>
  missing: MissingTool[]
}

/**
 * Makes sure that the named tools are there, installing what it can. Quiet unless something is installed,
 * then one line a tool. Never throws for a tool that cannot be had: it is listed in `missing`.
 * `BERTH_TOOL_<NAME>` (a path, `-` as `_`) takes the place of a tool; `BERTH_NO_INSTALL=1` only looks.
 */
export async function ensureTools(names: Iterable<ToolName>): Promise<Toolbox> {
  const wanted = [...new Set(names)]
  const toolbox: Toolbox = { available: new Map(), missing: [] }
  const absent = wanted.filter((name) => findTool(name) === null)
  if (absent.length > 0 && !process.env['BERTH_NO_INSTALL']) {
    const problems = await withInstallLock(() => install(absent))
    for (const problem of problems) toolbox.missing.push(problem)
  }
  for (const name of wanted) {
    const path = findTool(name)
    if (path !== null) toolbox.available.set(name, path)
    else if (!toolbox.missing.some((missing) => missing.name === name)) {
      toolbox.missing.push({ name, reason: 'not installed', howToGet: howToGet(name) })
    }
  }
  toolbox.missing = toolbox.missing.filter((missing) => !toolbox.available.has(missing.name))
  return toolbox
}

/** Like ensureTools, but throws one error that lists everything missing. Returns the path of each tool. */
export async function requireTools<Name extends ToolName>(...names: Name[]): Promise<Record<Name, string>> {
  const { available, missing } = await ensureTools(names)
  if (missing.length > 0) throw new Error(describeMissing(missing))
  return Object.fromEntries(available) as Record<Name, string>
}

/** One line for each missing tool: what, why, and how to get it. */
export function describeMissing(missing: readonly MissingTool[]): string {
  return missing
    .map(({ name, reason, howToGet }) => `${name} is missing (${reason}); to get it: ${howToGet}`)
    .join('\n')
}

/** The absolute path of a tool's command, or null. Looks only; installs nothing. */
export function findTool(name: ToolName): string | null {
  const override = process.env[`BERTH_TOOL_${name.toUpperCase().replaceAll('-', '_')}`]
  if (override) return isExecutable(override) ? override : null
  const tool = tools[name]
  if (tool.kind !== 'apt') {
    const built = join(goToolFolder(name, tool), tool.command)
    return isExecutable(built) ? built : null
  }
  const paths = tool.commands.map(findCommand)
  return paths.includes(null) ? null : (paths[0] as string)
}

/** The absolute path of a command on PATH or in the system's own folders, or null. */
export function findCommand(command: string): string | null {
  if (command.startsWith('/')) return isExecutable(command) ? command : null
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...extraFolders, ...postgresFolders()]
  for (const folder of folders) {
    const path = join(folder, command)
    if (folder !== '' && isExecutable(path)) return path
  }
  return null
}

/** The folder that keeps what was built, one folder a tool, version and platform. */
export function toolCacheFolder(): string {
  const cache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache')
  return join(cache, 'berth-test-tools')
}

async function install(names: ToolName[]): Promise<MissingTool[]> {
  const problems: MissingTool[] = []
  const absent = names.filter((name) => findTool(name) === null) // Another process may have been faster.
  const goTools = absent.filter((name) => tools[name].kind !== 'apt')
  const aptTools = absent.filter((name) => tools[name].kind === 'apt')
  if (goTools.length > 0 && findCommand('go') === null && !aptTools.includes('go')) aptTools.push('go')
  if (aptTools.length > 0) problems.push(...(await installWithApt(aptTools)))
  for (const name of goTools) {
    const problem = await buildGoTool(name, tools[name] as GoTool | GoSource)
    if (problem !== null) problems.push({ name, reason: problem, howToGet: howToGet(name) })
  }
  return problems
}

async function installWithApt(names: ToolName[]): Promise<MissingTool[]> {
  const fail = (reason: string): MissingTool[] =>
    names.map((name) => ({ name, reason, howToGet: howToGet(name) }))
  if (findCommand('apt-get') === null) return fail('this system has no apt-get')
  if (process.getuid?.() !== 0) return fail('not root, so nothing can be installed')
  const packages = [...new Set(names.flatMap((name) => (tools[name] as AptTool).packages))]
  const startedAt = performance.now()
  say(`installing ${names.join(', ')} (apt: ${packages.join(' ')})`)
  try {
    try {
      await aptGet(['install', ...packages])
    } catch {
      // The package lists may be absent or old: refresh them and try once more.
      await aptGet(['update'])
      await aptGet(['install', ...packages])
    }
  } catch (error) {
    return fail(`apt-get failed: ${lastLine(error)}`)
  }
  for (const name of names) say(`${name}: installed (${seconds(startedAt)})`)
  return []
}

function aptGet(args: string[]): Promise<unknown> {
  return runCommand(
    'apt-get',
    ['-y', '-q', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=600', ...args],
    {
      // RUNLEVEL=1 keeps the packages' own services from being started.
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
      timeoutMs: aptTimeoutMs,
    },
  )
}

/** Builds one Go program into the cache. Returns why it could not be built, or null. */
async function buildGoTool(name: ToolName, tool: GoTool | GoSource): Promise<string | null> {
  const go = findCommand('go')
  if (go === null) return 'Go is not installed'
  const folder = goToolFolder(name, tool)
  const building = `${folder}.building`
  const refusal = recentRefusal(`${folder}.refused`)
  if (refusal !== null) return refusal
  rmSync(building, { recursive: true, force: true })
  mkdirSync(building, { recursive: true })
  const startedAt = performance.now()
  say(`building ${name} ${goVersion(tool)} (Go, about a minute)`)
  const flags = ['-trimpath', '-ldflags=-s -w']
  const [cwd, args] =
    tool.kind === 'go'
      ? [building, ['install', ...flags, `${tool.importPath}@${tool.version}`]]
      : [sourceFolder(tool), ['build', ...flags, '-mod=readonly', '-o', join(building, tool.command), '.']]
  try {
    await runCommand(go, args, {
      cwd,
      // GOWORK off and a folder of its own: nothing of the caller's module may change the build.
      env: { GOTOOLCHAIN: 'auto', ...process.env, GOBIN: building, CGO_ENABLED: '0', GOWORK: 'off' },
      timeoutMs: goBuildTimeoutMs,
    })
    rmSync(folder, { recursive: true, force: true })
    renameSync(building, folder)
  } catch (error) {
    rmSync(building, { recursive: true, force: true })
    const reason = `it could not be built: ${lastLine(error)}`
    writeFileSync(`${folder}.refused`, reason)
    return reason
  }
  say(`${name}: built (${seconds(startedAt)})`)
  return null
}

/** Why a build failed not long ago: the same question need not be asked again at every run. */
function recentRefusal(path: string): string | null {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined || Date.now() - stat.mtimeMs > refusalLifetimeMs) return null
  return readFileSync(path, 'utf8')
}

function goToolFolder(name: ToolName, tool: GoTool | GoSource): string {
  return join(toolCacheFolder(), `${name}-${goVersion(tool)}-${process.platform}-${process.arch}`)
}

/** The pinned version, or for sources of our own a name that changes with them. */
function goVersion(tool: GoTool | GoSource): string {
  if (tool.kind === 'go') return tool.version
  const hash = createHash('sha256')
  for (const name of readdirSync(sourceFolder(tool)).sort()) {
    hash.update(name).update(readFileSync(join(sourceFolder(tool), name)))
  }
  return hash.digest('hex').slice(0, 12)
}

function sourceFolder(tool: GoSource): string {
  return join(import.meta.dirname, tool.folder)
}

function howToGet(name: ToolName): string {
  const tool = tools[name]
  const override = `BERTH_TOOL_${name.toUpperCase().replaceAll('-', '_')}=<path>`
  if (tool.kind === 'go-source') return `build it with Go in ${sourceFolder(tool)}, then ${override}`
  if (tool.kind === 'go') {
    return `go install ${tool.importPath}@${tool.version} (see ${tool.homepage}), then ${override}`
  }
  if (findCommand('apt-get') === null) return `your system's package of ${tool.commands.join(', ')}`
  return `sudo apt-get install -y --no-install-recommends ${tool.packages.join(' ')}`
}

/** One installing process at a time: test files run side by side and would get in each other's way. */
async function withInstallLock<T>(work: () => Promise<T>): Promise<T> {
  const lock = join(toolCacheFolder(), 'install.lock')
  mkdirSync(toolCacheFolder(), { recursive: true })
  await waitFor(`the lock ${lock}`, async () => takeLock(lock), lockTimeoutMs)
  try {
    return await work()
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

function takeLock(lock: string): boolean {
  try {
    // The holder's pid is part of the name inside, so a lock left by a dead process can be told and taken.
    mkdirSync(lock)
    mkdirSync(join(lock, String(process.pid)))
    return true
  } catch {
    const holder = existsSync(lock) ? readdirSync(lock)[0] : undefined
    if (holder !== undefined && !isAlive(Number(holder))) rmSync(lock, { recursive: true, force: true })
    return false
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch (error) {
    // No /proc on this system, or no right to signal it: then it exists.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

function postgresFolders(): string[] {
  const root = '/usr/lib/postgresql'
  if (!existsSync(root)) return []
  const versions = readdirSync(root).sort((a, b) => Number(b) - Number(a))
  return versions.map((version) => join(root, version, 'bin'))
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile() // A folder can be "executable" too.
  } catch {
    return false
  }
}

function lastLine(error: unknown): string {
  if (error instanceof CommandError) {
    const text = `${error.result.stdout}\n${error.result.stderr}`.trim()
    return text.split('\n').slice(-2).join(' ').trim()
  }
  return (error as Error).message
}

function seconds(startedAt: number): string {
  return `${((performance.now() - startedAt) / 1000).toFixed(0)} s`
}

function say(line: string): void {
  process.stderr.write(`tools: ${line}\n`)
}
