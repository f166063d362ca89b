import { type Postgres, startPostgres } from './servers/postgres.ts'
import { type S3Server, startS3 } from './servers/s3.ts'
import { type Stack, stacks } from './suite-files.ts'

let services: Promise<{ postgres: Postgres; s3: S3Server }> | undefined

/** The stack that this run tests: what `--stack` chose, SQLite and files when nothing did. */
export function currentStack(): Stack {
  const name = process.env['BERTH_TEST_STACK'] ?? 'sqlite-fs'
  const stack = stacks.find((known) => known === name)
  if (stack === undefined) throw new Error(`BERTH_TEST_STACK is "${name}"; it can be ${stacks.join(' or ')}`)
  return stack
}

/** One PostgreSQL and one S3 server for all tests of this process, started on first use, ended with the process. */
export function sharedServices(): Promise<{ postgres: Postgres; s3: S3Server }> {
  services ??= Promise.all([startPostgres({ shared: true, fsync: true }), startS3({ shared: true })]).then(
    ([postgres, s3]) => ({ postgres, s3 }),
  )
  return services
}

/** Environment of a Berth on this stack: nothing for SQLite and files, a database and a bucket of its own otherwise. */
export async function stackEnvironment(stack: Stack): Promise<Record<string, string>> {
  if (stack === 'sqlite-fs') return {}
  const { postgres, s3 } = await sharedServices()
  return {
    BERTH_DATABASE_URL: await postgres.createDatabase(),
    BERTH_S3_ENDPOINT: s3.endpoint,
    BERTH_S3_BUCKET: await s3.createBucket(),
    BERTH_S3_REGION: s3.region,
    BERTH_S3_ACCESS_KEY_ID: s3.accessKeyId,
    BERTH_S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
  }
}
