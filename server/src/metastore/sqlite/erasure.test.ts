import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { ControlSchema } from '../control-schema.ts'
import type { Database } from '../database.ts'
import { initializeInstallation } from '../queries/installation.ts'
import { insertProjectKey } from '../queries/project-key.ts'
import { createProject, deleteProject } from '../queries/project.ts'
import { createRegistry, deleteRegistry, updateRegistry } from '../queries/registry-commands.ts'
import { createWebhook, deleteWebhook, pruneWebhookSecrets, rotateWebhookSecret } from '../queries/webhook.ts'
import { openSqliteDatabase } from './database.ts'
import { type SqliteWriter, startSqliteWriter } from './writer.ts'

/*
 * What a command that erases has overwritten or deleted is in no file of the database when `run` returns.
 */

const folder = mkdtempSync(join(tmpdir(), 'berth-erasure-'))
const origin = { actor: 'test', requestId: 'test', nowMs: 1 }
const UPDATES = 60
let writer: SqliteWriter
let db: Database<ControlSchema>

before(async () => {
  writer = startSqliteWriter()
  db = await openSqliteDatabase('control', { path: join(folder, 'control.db'), writer })
  await db.run(initializeInstallation, { facts: { root_key_id: 'root' } })
})
after(async () => {
  await db.close()
  await writer.close()
  rmSync(folder, { recursive: true })
})

const PIECE_LENGTH = 20

/** A long text is split over pages, so it is looked for piece by piece. */
function piecesOf(text: string): string[] {
  const count = Math.max(1, Math.floor(text.length / PIECE_LENGTH))
  return Array.from({ length: count }, (_, i) => text.slice(i * PIECE_LENGTH, (i + 1) * PIECE_LENGTH))
}

/** Files of the database in which a piece of one of the texts is. */
function found(texts: readonly string[]): string[] {
  return readdirSync(folder).flatMap((name) => {
    const content = readFileSync(join(folder, name))
    return texts.flatMap((text, i) =>
      piecesOf(text).some((piece) => content.includes(piece)) ? [`${i} in ${name}`] : [],
    )
  })
}

/** Long and short ones, so that rows move within and between pages. */
function sealedText(): string {
  return `s1.1.${randomBytes(randomInt(20, 1_500)).toString('base64url')}`
}

async function makeProject(id: string): Promise<string> {
  const project = {
    id,
    namespace: id,
    name: id,
    quotaBytes: null,
    publicRepositories: [],
    allowSparseIndexes: false,
  }
  await db.run(createProject, { project, ownerId: null, released: null, origin })
  const wrapped = randomBytes(60).toString('base64url')
  await db.run(insertProjectKey, { key: { projectId: id, version: 1, rootId: 'root', wrapped }, nowMs: 1 })
  return wrapped
}

async function addRegistry(projectId: string, id: string): Promise<string> {
  const sealed = sealedText()
  const registry = {
    id,
    projectId,
    provider: 'custom',
    name: id,
    slug: id,
    host: 'a.example',
    exchange: null,
    login: { username: 'alice', sealed },
  } as const
  assert.ok((await db.run(createRegistry, { registry, maxRegistries: 100, origin })).ok)
  return sealed
}

test('an overwritten secret is in no file any more, however often and at whatever size', async () => {
  await makeProject('p1')
  const ids = ['r1', 'r2', 'r3', 'r4', 'r5', 'r6']
  const current = new Map<string, string>()
  for (const id of ids) current.set(id, await addRegistry('p1', id))
  const old: string[] = []
  for (let i = 0; i < UPDATES; i++) {
    const id = ids[i % ids.length] ?? ''
    const sealed = sealedText()
    const change = { login: { username: 'alice', sealed } }
    const updated = await db.run(updateRegistry, {
      projectId: 'p1',
      id,
      expectedHost: 'a.example',
      change,
      origin,
    })
    assert.ok(updated.ok)
    old.push(current.get(id) ?? '')
    current.set(id, sealed)
    assert.deepEqual(found(old), [], `after update ${i}`)
  }
  // The look itself works: what is stored now is found.
  assert.equal(new Set(found([...current.values()]).map((place) => place.split(' ')[0])).size, ids.length)
})

test('so is a deleted one, and the key of a deleted project', async () => {
  const wrapped = await makeProject('p2')
  const first = await addRegistry('p2', 'first')
  const second = await addRegistry('p2', 'second')
  assert.ok(found([wrapped, first, second]).length >= 3)
  await db.run(deleteRegistry, { projectId: 'p2', id: 'first', origin })
  assert.deepEqual(found([first]), [])
  await db.run(deleteProject, { id: 'p2', origin })
  assert.deepEqual(found([wrapped, first, second]), [])
})

test('so is the secret of a webhook that was replaced, pruned or deleted', async () => {
  await makeProject('p3')
  const projectId = 'p3'
  const [kept, replaced, second, third] = [sealedText(), sealedText(), sealedText(), sealedText()]
  const make = async (id: string, sealed: string) => {
    const webhook = { id, projectId, name: id, url: 'https://a.example/', events: ['*'] }
    const secret = { id: `${id}-secret`, sealed }
    assert.ok((await db.run(createWebhook, { webhook: { ...webhook, secret }, most: 10, origin })).ok)
  }
  const rotate = (sealed: string, previousUntilMs: number) =>
    db.run(rotateWebhookSecret, {
      projectId,
      id: 'w1',
      origin,
      secret: { id: `w1-${previousUntilMs}`, sealed },
      previousUntilMs,
    })
  await make('w1', replaced)
  await make('w2', kept)
  assert.ok((await rotate(second, 0)).ok)
  assert.deepEqual(found([replaced]), [])
  assert.ok((await rotate(third, 100)).ok)
  assert.equal(await db.run(pruneWebhookSecrets, { nowMs: 99 }), 0)
  assert.ok(found([second]).length > 0)
  assert.equal(await db.run(pruneWebhookSecrets, { nowMs: 100 }), 1)
  assert.deepEqual(found([second]), [])
  assert.ok(await db.run(deleteWebhook, { projectId, id: 'w1', origin }))
  assert.deepEqual(found([third]), [])
  assert.ok(found([kept]).length > 0)
  await db.run(deleteProject, { id: projectId, origin })
  assert.deepEqual(found([kept]), [])
})
