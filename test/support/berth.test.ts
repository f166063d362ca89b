// @needs postgres, versitygw
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { startBerth } from './berth.ts'
import { stacks } from './suite-files.ts'

for (const stack of stacks) {
  test(`Berth starts on ${stack}, keeps a project and a key over kill -9, and stops cleanly`, async (t) => {
    const berth = await startBerth({ test: t, stack })
    const project = await berth.createProject('acme')
    const { id, authorization } = await berth.createKey(project.id)
    const ping = async (): Promise<number> =>
      (await fetch(`${berth.registryUrl}/v2/`, { headers: { authorization } })).status
    assert.equal((await fetch(`${berth.registryUrl}/v2/`)).status, 401)
    assert.equal(await ping(), 200)
    await berth.kill9()
    await berth.restart()
    assert.equal(await ping(), 200)
    assert.equal((await berth.api('GET', '/projects/acme')).status, 200)
    await berth.revokeKey(project.id, id)
    assert.equal(await ping(), 401)
    assert.equal(await berth.stop(), 0)
  })
}

test('a Berth that cannot start is an error with its own last words', async () => {
  await assert.rejects(
    startBerth({ stack: 'sqlite-fs', env: { BERTH_CONSOLE_ADDR: 'nonsense' } }),
    /BERTH_CONSOLE_ADDR/,
  )
})

test('the data folder is removed in the end', async () => {
  const berth = await startBerth({ stack: 'sqlite-fs' })
  await berth[Symbol.asyncDispose]()
  assert.equal(existsSync(berth.dataDir), false)
})
