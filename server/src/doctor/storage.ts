import { randomBytes, randomUUID } from 'node:crypto'
import { access, constants, stat, statfs } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { digestOf } from '@berth/oci/digest'
import type { BlobStore } from '../blobstore/blobstore.ts'
import type { Config } from '../config/config.ts'
import { dataDirLayout } from '../config/data-dir.ts'
import { broken, type Check, doubtful, fine, look } from './check.ts'

const PROBE_BYTES = 6 * 1024 * 1024
const LITTLE_SPACE_SHARE = 0.1
const OPEN_TO_OTHERS = 0o077
const CLOCK_SKEW_WARNING_MS = 2_000
const POSTGRES_OLDEST = 14
const CONNECT_TIMEOUT_MS = 10_000

/** The data folder: there, ours, and with room. */
export function checkDataDir({ dataDir, diskReserveBytes }: Config): Promise<readonly Check[]> {
  const nextStep = `Make ${dataDir} a folder that the user of the server may write, or set BERTH_DATA_DIR.`
  return look('data folder', nextStep, async () => {
    await access(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
    const { bavail, blocks, bsize } = await statfs(dataDir)
    const freeBytes = bavail * bsize
    const free = `${(freeBytes / 2 ** 30).toFixed(1)} GiB are free`
    const room = 'Free space or grow the disk: below BERTH_DISK_RESERVE pushes are refused.'
    if (freeBytes < diskReserveBytes) return broken('data folder', `Only ${free}: pushes are refused.`, room)
    const isLittle = freeBytes < 2 * diskReserveBytes || bavail < blocks * LITTLE_SPACE_SHARE
    return isLittle ? doubtful('data folder', `Only ${free}.`, room) : fine('data folder', `${free}.`)
  })
}

/** The file of the root key: nobody else may read it. */
export function checkRootKeyFile({ rootKey, rootKeyFile }: Config): Promise<readonly Check[]> {
  if (rootKey !== null) return Promise.resolve([])
  const nextStep = 'Start the server once, or restore the file from your backup.'
  return look('root key', nextStep, async () => {
    const { mode } = await stat(rootKeyFile)
    return (mode & OPEN_TO_OTHERS) === 0
      ? fine('root key', `Only its owner may read ${rootKeyFile}.`)
      : doubtful('root key', `Others may read ${rootKeyFile}.`, `chmod 600 ${rootKeyFile}`)
  })
}

/** SQLite files are whole. Read only: nothing is migrated, and a server may be running. */
export function checkSqlite({ dataDir, regions }: Config): Promise<readonly Check[]> {
  const nextStep = 'Stop the server and restore the newest backup: see docs/operations/backup.md.'
  return look('database', nextStep, async () => {
    const layout = dataDirLayout(dataDir)
    const files = [layout.controlDatabase, ...regions.map(({ id }) => layout.region(id).database)]
    for (const file of files) {
      using database = new DatabaseSync(file, { readOnly: true })
      const answer = Object.values(database.prepare('pragma quick_check(1)').get() ?? {})[0]
      if (answer !== 'ok') return broken('database', `${file} is damaged: ${String(answer)}`, nextStep)
    }
    return fine('database', `${files.length} SQLite files are whole.`)
  })
}

/** PostgreSQL can be reached, is new enough, and goes by about the same clock. */
export function checkPostgres(url: string, now: () => number): Promise<readonly Check[]> {
  const nextStep = 'Check BERTH_DATABASE_URL, and that this machine may reach the server.'
  return look('database', nextStep, async () => {
    const { default: pg } = await import('pg')
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS })
    await client.connect()
    try {
      const { rows } = await client.query<{ version: string; now: number; may_create: boolean }>(
        `select current_setting('server_version_num') as version, extract(epoch from clock_timestamp()) * 1000 as now,
           has_database_privilege(current_database(), 'create') as may_create`,
      )
      const [row] = rows
      const major = Math.floor(Number(row?.version ?? 0) / 10_000)
      const skewMs = Math.abs(Number(row?.now ?? 0) - now())
      if (major < POSTGRES_OLDEST) {
        const message = `PostgreSQL ${major} is too old.`
        return broken('database', message, `Use PostgreSQL ${POSTGRES_OLDEST} or newer.`)
      }
      if (row?.may_create !== true) {
        const message = 'The user may not create schemas in this database.'
        return broken('database', message, 'grant create on database … to …, or make the schemas yourself.')
      }
      const seen = fine('database', `PostgreSQL ${major} answers.`)
      if (skewMs < CLOCK_SKEW_WARNING_MS) return seen
      const message = `The database's clock is ${Math.round(skewMs / 1000)} s away from this machine's.`
      return [seen, doubtful('clock', message, 'Let both follow an NTP server.')]
    } finally {
      await client.end()
    }
  })
}

/** Stores, reads and removes a few MiB as an upload does: for an object store in more than one part. */
export function checkBlobStore(region: string, blobs: BlobStore): Promise<readonly Check[]> {
  const name = `region ${region} blob store`
  const nextStep =
    blobs.driver === 's3'
      ? 'Check BERTH_S3_*: the key must be allowed to put, get, list and delete objects and to do multipart uploads.'
      : 'Check the folder and its disk.'
  return look(name, nextStep, async () => {
    const content = randomBytes(PROBE_BYTES)
    const startedAt = performance.now()
    const upload = await blobs.createUpload(randomUUID())
    const writer = await blobs.openWriter(upload, 0)
    await writer.append(content)
    const state = await writer.close()
    const key = await blobs.commitUpload(state, {
      digest: digestOf('sha256', content),
      sizeBytes: content.byteLength,
    })
    try {
      const read = await readBack(blobs, key)
      if (!read.equals(content)) return broken(name, 'What was read is not what was written.', nextStep)
    } finally {
      await blobs.delete(key)
    }
    const tookMs = Math.round(performance.now() - startedAt)
    return fine(name, `${PROBE_BYTES / 2 ** 20} MiB were written, read and removed in ${tookMs} ms.`)
  })
}

async function readBack(blobs: BlobStore, key: Parameters<BlobStore['open']>[0]): Promise<Buffer> {
  const source = await blobs.open(key)
  if (source === null) throw new Error('what was just written is not there')
  const chunks: Buffer[] = []
  try {
    const sink = { write: async (chunk: Uint8Array) => void chunks.push(Buffer.from(chunk)) }
    await source.pump(sink, { start: 0, end: source.sizeBytes - 1 }, new AbortController().signal)
  } finally {
    await source.close()
  }
  return Buffer.concat(chunks)
}
