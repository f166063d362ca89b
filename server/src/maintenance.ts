import { loadConfig, printConfig } from './config/config.ts'
import { DataDirError, openDataDir } from './config/data-dir.ts'
import { createDrivers } from './drivers.ts'
import { backUp, BackupError, type BackupSummary, restore } from './jobs/backup.ts'
import { type FsckReport, runFsck } from './jobs/fsck.ts'
import { readVersion } from './version.ts'

/*
 * What an operator runs beside the server, on the same machine and with the same configuration. These functions answer
 * values; the command line says them.
 */

export interface RegionFsck {
  readonly region: string
  readonly report: FsckReport
}

export interface FsckCommand {
  /** Null: all regions. */
  readonly region: string | null
  readonly verifyDigests: boolean
  readonly repair: boolean
  readonly onProgress: (progress: { region: string; stage: string; done: number }) => void
  readonly signal: AbortSignal
}

/** Stored bytes without a row are left alone for this long while a server may be about to commit the row. */
const ORPHAN_AGE_WHILE_SERVING_MS = 24 * 3_600_000

/**
 * Checks all regions, or one. Works while the server runs; then bytes that were stored within the last day are not
 * called orphans. Throws `ConfigError` and what the drivers throw.
 */
export async function checkInstallation(env: NodeJS.ProcessEnv, command: FsckCommand): Promise<RegionFsck[]> {
  await using cleanup = new AsyncDisposableStack()
  const config = loadConfig(env, process.cwd())
  const orphanAgeMs =
    config.databaseUrl === null && takeIfFree(config.dataDir, cleanup) ? 0 : ORPHAN_AGE_WHILE_SERVING_MS
  const drivers = await createDrivers(config)
  cleanup.defer(() => drivers.close())
  const results: RegionFsck[] = []
  for (const { id } of config.regions) {
    if (command.region !== null && command.region !== id) continue
    const storage = await drivers.openRegionContent(id)
    cleanup.defer(async () => {
      await storage.blobs.close()
      await storage.db.close()
    })
    const report = await runFsck({
      db: storage.db,
      blobs: storage.blobs,
      verifyDigests: command.verifyDigests,
      repair: command.repair,
      orphanAgeMs,
      onProgress: (progress) => command.onProgress({ region: id, ...progress }),
      signal: command.signal,
    })
    results.push({ region: id, report })
  }
  return results
}

/** Takes the data folder when no server has it. */
function takeIfFree(dataDir: string, cleanup: AsyncDisposableStack): boolean {
  try {
    const taken = openDataDir(dataDir)
    cleanup.defer(() => taken.release())
    return true
  } catch (error) {
    if (error instanceof DataDirError) return false
    throw error
  }
}

/** Copies an embedded installation, running or not, into a new folder. Throws `ConfigError` and `BackupError`. */
export async function backUpInstallation(
  env: NodeJS.ProcessEnv,
  command: {
    target: string
    includeRootKey: boolean
    onProgress: (progress: { region: string; done: number; total: number }) => void
  },
): Promise<BackupSummary> {
  const config = loadConfig(env, process.cwd())
  if (config.databaseUrl !== null || config.s3Bucket !== null) {
    throw new BackupError(
      'This command copies the embedded mode. For PostgreSQL and S3 use their own backups: see docs/operations/backup.md.',
    )
  }
  return backUp({
    ...command,
    dataDir: config.dataDir,
    rootKeyFile: config.rootKeyFile,
    version: readVersion(),
  })
}

/** Copies a backup into the configured data folder, which must be new or empty. Throws `ConfigError` and `BackupError`. */
export async function restoreInstallation(
  env: NodeJS.ProcessEnv,
  command: { source: string; onProgress: (progress: { done: number; total: number }) => void },
): Promise<{ summary: BackupSummary; dataDir: string; rootKeyFile: string }> {
  const config = loadConfig(env, process.cwd())
  const summary = await restore({ ...command, dataDir: config.dataDir })
  return { summary, dataDir: config.dataDir, rootKeyFile: config.rootKeyFile }
}

/** The effective configuration, secrets left out. Throws `ConfigError`. */
export function describeConfiguration(env: NodeJS.ProcessEnv): string {
  return printConfig(loadConfig(env, process.cwd()))
}
