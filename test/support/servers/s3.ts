import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { CreateBucketCommand, ListBucketsCommand, S3Client } from '@aws-sdk/client-s3'
import { freePort, type ServerProcess, startProcess, temporaryFolder, waitUntilReady } from '../process.ts'
import { requireTools } from '../tools.ts'

export type S3Server = AsyncDisposable & {
  endpoint: string
  region: string
  accessKeyId: string
  secretAccessKey: string
  /** Where buckets are folders and objects are files, for tests that damage or count them. */
  folder: string
  /** Makes a bucket and returns its name. Without a name it gets one of its own. */
  createBucket(name?: string): Promise<string>
  /** A client with the server's keys, for looking at what is stored. The caller destroys it. */
  client(): S3Client
  /** Ends the server at once, as a crash would, and keeps the data. */
  kill9(): Promise<void>
  /** Starts again on the same data and port, after `kill9`. */
  start(): Promise<void>
  stop(): Promise<void>
  log(): string
}

/** Starts an S3 server (versitygw on a folder) on a free loopback port; ready when it returns.
 * `shared`: nobody stops it; it ends with the test process. */
export async function startS3(options: { shared?: boolean } = {}): Promise<S3Server> {
  const { versitygw } = await requireTools('versitygw')
  const folder = temporaryFolder('s3')
  const objects = join(folder.path, 'objects')
  const sidecar = join(folder.path, 'metadata') // Not every file system has the extended attributes it would use.
  mkdirSync(objects)
  mkdirSync(sidecar)
  const port = await freePort()
  const [accessKeyId, secretAccessKey, region] = ['berth-test', 'berth-test-secret', 'us-east-1']
  const endpoint = `http://127.0.0.1:${port}`
  const client = (): S3Client =>
    new S3Client({ endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } })
  const launch = async (): Promise<ServerProcess> => {
    const started = await startProcess(
      versitygw,
      [
        '--port',
        `127.0.0.1:${port}`,
        '--region',
        region,
        '--keep-alive',
        'posix',
        '--sidecar',
        sidecar,
        objects,
      ],
      { env: { ...process.env, ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey } },
    )
    await waitUntilReady(started, () => withClient(client(), listsBuckets))
    if (options.shared) started.unref()
    return started
  }
  let server = await launch()
  let buckets = 0
  const stop = async (): Promise<void> => {
    await server.stop()
    folder.remove()
  }
  return {
    endpoint,
    region,
    accessKeyId,
    secretAccessKey,
    folder: objects,
    client,
    async createBucket(name = `berth-test-${++buckets}`) {
      await withClient(client(), (s3) => s3.send(new CreateBucketCommand({ Bucket: name })))
      return name
    },
    async kill9() {
      await server.kill9()
    },
    async start() {
      if (server.ended() !== null) server = await launch()
    },
    stop,
    log: () => server.output(),
    [Symbol.asyncDispose]: stop,
  }
}

async function listsBuckets(client: S3Client): Promise<boolean> {
  await client.send(new ListBucketsCommand({}))
  return true
}

async function withClient<T>(client: S3Client, work: (client: S3Client) => Promise<T>): Promise<T> {
  try {
    return await work(client)
  } finally {
    client.destroy()
  }
}
