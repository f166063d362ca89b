import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import pg from 'pg'
import { startBerth } from '../support/berth.ts'
import { freePort } from '../support/process.ts'
import { currentStack, stackEnvironment } from '../support/stack.ts'

/*
 * A region more in the configuration: after the restart each living project has a registry in it.
 */

interface Registry {
  readonly name: string
  readonly provider: string
  readonly region: string
  readonly address: string
}

test('a region that is added makes one managed registry in each project that was not deleted', async (context) => {
  const env = await stackEnvironment(currentStack())
  const berth = await startBerth({ test: context, regions: ['eu'], env })
  const managed = async (project: string): Promise<Registry[]> => {
    const { status, body } = await berth.api('GET', `/projects/${project}/registries`)
    assert.equal(status, 200)
    return (body as { items: Registry[] }).items.filter(({ provider }) => provider === 'managed')
  }
  const regionsOf = (projectId: string) =>
    storedRegions(projectId, { dataDir: berth.dataDir, databaseUrl: env['BERTH_DATABASE_URL'] ?? null })

  const living = await berth.createProject('living')
  const deleted = await berth.createProject('deleted')
  assert.equal((await berth.api('DELETE', '/projects/deleted?confirm=deleted')).status, 200)
  const before = await managed('living')
  const ofDeleted = await regionsOf(deleted.id)
  const { authorization } = await berth.createKey('living')

  const us = `127.0.0.1:${await freePort()}`
  const regions = { BERTH_REGIONS: `eu=Eu@${berth.registryHost},us=Us@${us};listen=${us}` }
  await berth.restart(regions)
  const after = await managed('living')
  assert.deepEqual(
    after.filter(({ region }) => region === 'eu'),
    before,
  )
  assert.deepEqual(
    after.map(({ name, region, address }) => ({ name, region, address })),
    [
      { name: 'Berth Registry (Eu)', region: 'eu', address: `${berth.registryHost}/living` },
      { name: 'Berth Registry (Us)', region: 'us', address: `${us}/living` },
    ],
  )
  assert.deepEqual(await regionsOf(living.id), ['eu', 'us'])
  assert.deepEqual(await regionsOf(deleted.id), ofDeleted)
  // A key for all regions is good in the new one as well.
  assert.equal((await fetch(`http://${us}/v2/`, { headers: { authorization } })).status, 200)

  await berth.restart(regions)
  assert.deepEqual(await managed('living'), after)
})

/** Regions of the registries that the database has of a project: the console says nothing about deleted ones. */
async function storedRegions(
  projectId: string,
  { dataDir, databaseUrl }: { readonly dataDir: string; readonly databaseUrl: string | null },
): Promise<string[]> {
  const select = 'select region_id from'
  let rows: { region_id: string }[]
  if (databaseUrl === null) {
    using file = new DatabaseSync(join(dataDir, 'control.db'), { readOnly: true })
    rows = file.prepare(`${select} registry where project_id = ?`).all(projectId) as typeof rows
  } else {
    const client = new pg.Client({ connectionString: databaseUrl })
    await client.connect()
    const found = await client.query(`${select} berth_control.registry where project_id = $1`, [projectId])
    await client.end()
    rows = found.rows as typeof rows
  }
  return rows.map((row) => row.region_id).sort()
}
