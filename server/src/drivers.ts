import { mkdir } from 'node:fs/promises'
import type { BlobStore } from './blobstore/blobstore.ts'
import { ByteBudget } from './blobstore/byte-budget.ts'
import { blobStoreLimits } from './blobstore/limits.ts'
import type { Config } from './config/config.ts'
import { dataDirLayout } from './config/data-dir.ts'
import type { ControlSchema } from './metastore/control-schema.ts'
import type { Database } from './metastore/database.ts'
import type { RegionSchema } from './metastore/region-schema.ts'
import type { UploadSessionStore } from './metastore/session-store.ts'

/*
 * Chooses concrete drivers by the configuration, for the server and for the maintenance commands. Drivers are loaded
 * when they are chosen: the embedded mode does not pay for the PostgreSQL client or the S3 client.
 */

/** What one region keeps its data in. */
export interface RegionStorage extends RegionContent {
  readonly sessions: UploadSessionStore
}

/** The part of it that several processes may have open at once. */
export interface RegionContent {
  readonly db: Database<RegionSchema>
  readonly blobs: BlobStore
}

/** Opens databases and blob stores of one process. Closing it closes the shared writer thread, not what was opened. */
export interface Drivers {
  openControlDatabase(): Promise<Database<ControlSchema>>
  openRegion(regionId: string): Promise<RegionStorage>
  /** For what runs beside a server: in the embedded mode the upload sessions are the server's alone. */
  openRegionContent(regionId: string): Promise<RegionContent>
  close(): Promise<void>
}

/** Throws what the drivers throw when a server cannot be reached or a folder cannot be used. */
export async function createDrivers(config: Config): Promise<Drivers> {
  const openBlobs = await openBlobStores(config)
  return config.databaseUrl === null
    ? sqliteDrivers(config, openBlobs)
    : postgresDrivers(config, config.databaseUrl, openBlobs)
}

type OpenBlobs = (regionId: string) => Promise<BlobStore>

async function sqliteDrivers(config: Config, openBlobs: OpenBlobs): Promise<Drivers> {
  const [{ openSqliteDatabase }, { openSqliteSessionStore }, { startSqliteWriter }] = await Promise.all([
    import('./metastore/sqlite/database.ts'),
    import('./metastore/sqlite/session-store.ts'),
    import('./metastore/sqlite/writer.ts'),
  ])
  const layout = dataDirLayout(config.dataDir)
  const writer = startSqliteWriter()
  const openDatabase = async (regionId: string): Promise<Database<RegionSchema>> => {
    const paths = layout.region(regionId)
    await mkdir(paths.folder, { recursive: true, mode: 0o700 })
    return openSqliteDatabase('region', { path: paths.database, writer })
  }
  return {
    openControlDatabase: () => openSqliteDatabase('control', { path: layout.controlDatabase, writer }),
    openRegion: async (regionId) => {
      const db = await openDatabase(regionId)
      const sessions = await openSqliteSessionStore({ path: layout.region(regionId).sessions })
      return { db, sessions, blobs: await openBlobs(regionId) }
    },
    openRegionContent: async (regionId) => ({
      db: await openDatabase(regionId),
      blobs: await openBlobs(regionId),
    }),
    close: () => writer.close(),
  }
}

async function postgresDrivers(config: Config, url: string, openBlobs: OpenBlobs): Promise<Drivers> {
  const [{ openPostgresDatabase }, { createPostgresSessionStore }] = await Promise.all([
    import('./metastore/postgres/database.ts'),
    import('./metastore/postgres/session-store.ts'),
  ])
  const poolSize = config.databasePoolSize
  const openDatabase = (regionId: string) => {
    const schema = `berth_region_${regionId.replaceAll('-', '_')}`
    return openPostgresDatabase('region', { url, schema, poolSize })
  }
  return {
    openControlDatabase: () => openPostgresDatabase('control', { url, schema: 'berth_control', poolSize }),
    openRegion: async (regionId) => {
      const db = await openDatabase(regionId)
      return { db, sessions: createPostgresSessionStore(db), blobs: await openBlobs(regionId) }
    },
    openRegionContent: async (regionId) => ({
      db: await openDatabase(regionId),
      blobs: await openBlobs(regionId),
    }),
    close: async () => {},
  }
}

/** Opens blob stores alone, by region; whoever opens one closes it. */
export async function openBlobStores(config: Config): Promise<OpenBlobs> {
  const { s3Bucket: bucket } = config
  if (bucket !== null) {
    const { createS3BlobStore } = await import('./blobstore/s3/s3-blobstore.ts')
    const writeBudget = new ByteBudget(blobStoreLimits.s3WriteBudgetBytes)
    return (regionId) =>
      createS3BlobStore({
        endpoint: config.s3Endpoint,
        bucket,
        region: config.s3Region,
        accessKeyId: config.s3AccessKeyId,
        secretAccessKey: config.s3SecretAccessKey,
        forcePathStyle: config.s3ForcePathStyle ?? config.s3Endpoint !== null,
        prefix: `regions/${regionId}/`,
        writeBudget,
      })
  }
  const [{ createFilesystemBlobStore }, { BufferPool }, { WriteShare }] = await Promise.all([
    import('./blobstore/filesystem/filesystem-blobstore.ts'),
    import('./blobstore/filesystem/buffer-pool.ts'),
    import('./blobstore/filesystem/write-share.ts'),
  ])
  // Buffers are a limit of the process, so its regions share them.
  const syncSlots = new ByteBudget(blobStoreLimits.syncsInFlightMax)
  const shared = { buffers: new BufferPool(), writeShare: new WriteShare(), syncSlots }
  return (regionId) =>
    createFilesystemBlobStore({ root: dataDirLayout(config.dataDir).region(regionId).folder, ...shared })
}
