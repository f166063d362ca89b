import { resolve } from 'node:path'
import type { RegionFsck } from '@berth/server/maintenance'
import { CliError } from '../cli-error.ts'
import { type Define, leaf } from '../command.ts'
import { formatBytes } from '../format.ts'
import { type Io, note } from '../io.ts'
import { show } from '../output.ts'
import type { GlobalOptions } from '../session.ts'
import { renderTable } from '../table.ts'

/*
 * What runs beside the server, on its machine and with its settings. The server's code is loaded only when one of these
 * is run.
 */

interface FsckOptions extends GlobalOptions {
  readonly region?: string
  readonly quick?: boolean
  readonly repair?: boolean
}

/** `fsck`, `backup`, `restore` and `config print`. */
export const defineMaintenance: Define = (parent, io) => {
  leaf(parent, 'fsck', 'check on this machine that everything stored is whole; works while the server runs')
    .option('--region <region>', 'only this region')
    .option('--quick', 'compare sizes only, without reading the content')
    .option('--repair', 'move content that nothing knows to the quarantine; nothing is deleted')
    .action(async (_options: unknown, command) => fsck(io, command.optsWithGlobals() as FsckOptions))

  leaf(parent, 'backup <folder>', 'copy this installation into a new folder; works while the server runs')
    .option('--include-root-key', 'also copy the root key: whoever has the copy can then read stored secrets')
    .action(async (folder: string, _options: unknown, command) => {
      const options = command.optsWithGlobals() as GlobalOptions & { includeRootKey?: boolean }
      await backup(io, folder, options)
    })

  leaf(parent, 'restore <folder>', 'copy a backup into the data folder, which must be new or empty').action(
    async (folder: string, _options: unknown, command) => {
      await restore(io, folder, command.optsWithGlobals() as GlobalOptions)
    },
  )

  const config = parent.command('config').description('settings of the server')
  leaf(config, 'print', 'print the settings that a server here would have, without secrets').action(
    async () => {
      await explained(async () => {
        const { describeConfiguration } = await import('@berth/server/maintenance')
        io.stdout.write(describeConfiguration({ ...io.env }))
      })
    },
  )
}

async function fsck(io: Io, options: FsckOptions): Promise<void> {
  await explained(async () => {
    const { checkInstallation } = await import('@berth/server/maintenance')
    const interrupt = new AbortController()
    const onInterrupt = () => interrupt.abort()
    process.once('SIGINT', onInterrupt)
    const results = await checkInstallation(
      { ...io.env },
      {
        region: options.region ?? null,
        verifyDigests: options.quick !== true,
        repair: options.repair === true,
        onProgress: progressLine(io, options, ({ region, stage, done }) => `${region}: ${stage} ${done}`),
        signal: interrupt.signal,
      },
    )
    process.off('SIGINT', onInterrupt)
    if (results.length === 0) throw new CliError('notFound', `There is no region "${options.region ?? ''}".`)
    show({ io, options }, results, (regions) => regions.flatMap(fsckLines))
    const damaged = results.some(({ report }) => report.problems.some(({ repaired }) => repaired === null))
    if (damaged) throw new CliError('failure', 'Not everything is whole.')
  })
}

function fsckLines({ region, report }: RegionFsck): string[] {
  const { blobs, bytes, manifests, problems, truncated } = report
  const summary = `${region}: ${blobs} blobs (${formatBytes(bytes)}) and ${manifests} manifests, ${problems.length} problems${truncated ? ' and more' : ''}.`
  if (problems.length === 0) return [summary]
  const columns = [
    { title: 'PROBLEM', value: (row: (typeof problems)[number]) => row.kind },
    { title: 'WHAT', value: (row: (typeof problems)[number]) => row.subject },
    { title: 'DETAIL', value: (row: (typeof problems)[number]) => row.detail },
    { title: 'REPAIRED', value: (row: (typeof problems)[number]) => row.repaired ?? 'no' },
  ]
  return [summary, ...renderTable(columns, problems, null)]
}

async function backup(
  io: Io,
  folder: string,
  options: GlobalOptions & { readonly includeRootKey?: boolean },
): Promise<void> {
  await explained(async () => {
    const { backUpInstallation } = await import('@berth/server/maintenance')
    const target = resolve(folder)
    const summary = await backUpInstallation(
      { ...io.env },
      {
        target,
        includeRootKey: options.includeRootKey === true,
        onProgress: progressLine(
          io,
          options,
          ({ region, done, total }) => `${region}: blob ${done} of ${total}`,
        ),
      },
    )
    show({ io, options }, summary, ({ regions }) => [
      `Backed up to ${target}: ${regions.map(({ id, blobs, bytes }) => `${id} ${blobs} blobs (${formatBytes(bytes)})`).join(', ')}.`,
    ])
    if (!summary.includesRootKey && options.json !== true) {
      note(io, 'The root key is not in it. Keep a copy of it elsewhere: nothing can be restored without it.')
    }
  })
}

async function restore(io: Io, folder: string, options: GlobalOptions): Promise<void> {
  await explained(async () => {
    const { restoreInstallation } = await import('@berth/server/maintenance')
    const restored = await restoreInstallation(
      { ...io.env },
      {
        source: resolve(folder),
        onProgress: progressLine(io, options, ({ done, total }) => `file ${done} of ${total}`),
      },
    )
    show({ io, options }, restored, ({ dataDir, rootKeyFile, summary }) => [
      `Restored the backup of ${summary.createdAt} into ${dataDir}.`,
      ...(summary.includesRootKey ? [] : [`Put the root key at ${rootKeyFile} before you start the server.`]),
    ])
  })
}

const CLEAR_LINE = '\r\u001b[K'

/** Shows progress on one line of a terminal; nothing elsewhere. */
function progressLine<Progress>(
  io: Io,
  options: GlobalOptions,
  text: (progress: Progress) => string,
): (progress: Progress) => void {
  if (io.stderr.isTTY !== true || options.json === true) return () => {}
  return (progress) => {
    io.stderr.write(`${CLEAR_LINE}${text(progress)}`)
  }
}

// Errors of the server whose message is written for the operator.
const FOR_PEOPLE = new Set([
  'ConfigError',
  'BackupError',
  'DataDirError',
  'RootKeyError',
  'DatabaseUnavailableError',
  'DatabaseTooNewError',
  'BlobStoreError',
])

async function explained(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (error instanceof Error && FOR_PEOPLE.has(error.name)) throw new CliError('failure', error.message)
    throw error
  }
}
