import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openTestConsole, type TestConsole } from '../../../test/support/console/stack.ts'
import { rotateDueCredentials } from './credential-rotation.ts'

const NEVER = new AbortController().signal
const PROJECTS = 3
let opened: TestConsole
/** One managed registry a project. */
const registries: { readonly project: string; readonly registry: string; readonly password: string }[] = []

before(async () => {
  opened = await openTestConsole()
  for (let i = 0; i < PROJECTS; i++) {
    const project = `rotated-${i}`
    await opened.client.call('projects.create', { body: { name: project, namespace: project } })
    const { items } = await opened.client.call('registries.list', { params: { project } })
    const registry = items.find(({ region }) => region === 'near')?.id ?? ''
    const params = { project, registry }
    const { password } = await opened.client.call('registries.generateCredentials', { params })
    const rotation = { everyDays: 30, overlapSeconds: 3600 }
    await opened.client.call('registries.update', { params, body: { rotation } })
    registries.push({ project, registry, password })
  }
})
after(() => opened.close())

async function show(i: number) {
  const { project, registry } = registries[i] ?? assert.fail()
  return opened.client.call('registries.showCredentials', { params: { project, registry } })
}

async function works(password: string): Promise<boolean> {
  await opened.near.access.refresh()
  const authorization = `Basic ${Buffer.from(`api:${password}`).toString('base64')}`
  return (await opened.near.access.authenticate({ authorization, clientAddress: '192.0.2.1' })).ok
}

function makeDue(i: number): Promise<void> {
  const { registry } = registries[i] ?? assert.fail()
  return opened.tamper('control', `update registry set rotation_due_at = 1 where id = '${registry}'`)
}

test('nothing is rotated before its time', async () => {
  assert.equal(await rotateDueCredentials(opened.runtime, NEVER), 0)
  assert.equal((await show(0)).version, 1)
})

test('what is due is rotated once, by however many replicas at the same time', async () => {
  await makeDue(0)
  await makeDue(1)
  const done = await Promise.all(Array.from({ length: 4 }, () => rotateDueCredentials(opened.runtime, NEVER)))
  assert.equal(
    done.reduce((sum, count) => sum + count, 0),
    2,
  )
  const shown = [await show(0), await show(1), await show(2)]
  assert.deepEqual(
    shown.map(({ version }) => version),
    [2, 2, 1],
  )
  for (const [i, { password }] of shown.entries()) {
    assert.equal(await works(password), true, `${i} new`)
    assert.equal(await works(registries[i]?.password ?? ''), true, `${i} before, within its overlap`)
  }
  const { project, registry } = registries[0] ?? assert.fail()
  const { rotation } = await opened.client.call('registries.show', { params: { project, registry } })
  assert.ok(Date.parse(rotation?.dueAt ?? '') > Date.now() + 29 * 86_400_000)
  const { items } = await opened.client.call('auditEvents.list', {
    params: { project },
    query: { action: 'registry_credential.rotate' },
  })
  assert.deepEqual(
    items.map(({ actor }) => actor),
    ['rotation schedule'],
  )
  assert.equal(await rotateDueCredentials(opened.runtime, NEVER), 0)
})

test('one that cannot be rotated does not keep the others from it', async () => {
  await makeDue(1)
  await makeDue(2)
  const { registry } = registries[1] ?? assert.fail()
  const { vault, ...rest } = opened.runtime
  const failing = {
    ...vault,
    seal: (...args: Parameters<typeof vault.seal>) =>
      args[0].record === `registry/${registry}` ? Promise.reject(new Error('no key')) : vault.seal(...args),
  }
  assert.equal(await rotateDueCredentials({ ...rest, vault: failing }, NEVER), 1)
  assert.match(opened.logged(), /a credential was not rotated/)
  assert.deepEqual([(await show(1)).version, (await show(2)).version], [2, 2])
  assert.equal(await rotateDueCredentials(opened.runtime, NEVER), 1)
  assert.equal((await show(1)).version, 3)
})

test('revoked credentials are not rotated', async () => {
  const { project, registry } = registries[2] ?? assert.fail()
  await opened.client.call('registries.revokeCredentials', { params: { project, registry } })
  assert.equal(await rotateDueCredentials(opened.runtime, NEVER), 0)
})
