import { writeSync } from 'node:fs'
import { appendPair } from './kill9-commands.ts'
import { openSqliteDatabase } from './database.ts'
import { startSqliteWriter } from './writer.ts'

/*
 * The process that the kill -9 test ends: appends without pause and prints each id after its acknowledgement.
 * Arguments: the database file, a prefix for the ids.
 */

const LANES = 8

const [path, prefix] = process.argv.slice(2) as [string, string]
const writer = startSqliteWriter({ commandsModule: new URL('./kill9-commands.ts', import.meta.url) })
const db = await openSqliteDatabase('region', { path, writer })
await Promise.all(Array.from({ length: LANES }, (_, lane) => appendForEver(`${prefix}/${lane}`)))

async function appendForEver(lane: string): Promise<never> {
  for (let index = 0; ; index += 1) {
    const requestId = `${lane}/${index}`
    await db.run(appendPair, { requestId })
    writeSync(1, `${requestId}\n`)
  }
}
