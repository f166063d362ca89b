import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiError } from '@berth/api/errors'
import { createPasswords } from './password.ts'

const passwords = createPasswords()

test('a hash says how it was made, and differs each time', async () => {
  const hash = await passwords.hash('correct horse battery staple')
  assert.match(hash, /^\$argon2id\$v=19\$m=47104,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
  assert.notEqual(await passwords.hash('correct horse battery staple'), hash)
  assert.equal(await passwords.verify({ hash, password: 'correct horse battery staple' }), true)
  for (const password of ['', 'correct horse battery stapl', 'Correct horse battery staple']) {
    assert.equal(await passwords.verify({ hash, password }), false, password)
  }
})

test('a hash with other parameters is checked by its own', async () => {
  const hash = await hashWith({ memory: 4_096, passes: 3, lanes: 2 })
  assert.equal(await passwords.verify({ hash, password: 'correct horse' }), true)
  assert.equal(await passwords.verify({ hash, password: 'wrong horse' }), false)
})

test('the same letters typed on another keyboard are the same password', async () => {
  const hash = await passwords.hash('crème brûlée crème'.normalize('NFC'))
  assert.equal(await passwords.verify({ hash, password: 'crème brûlée crème'.normalize('NFD') }), true)
})

test('a damaged hash, or one that asks for too much, is an error and never a match', async () => {
  const good = await passwords.hash('correct horse battery staple')
  const damaged = [
    '',
    good.slice(0, -30),
    good.replace('argon2id', 'argon2i'),
    good.replace('m=47104', 'm=99999999'),
    good.replace('t=2', 't=99999'),
    good.replace('p=1', 'p=200'),
  ]
  for (const hash of damaged) {
    await assert.rejects(passwords.verify({ hash, password: 'correct horse battery staple' }), /damaged/)
  }
})

test('more sign-ins than a machine can take are refused at once, and the others are done', async () => {
  const few = createPasswords({ atOnce: 1, waiting: 2 })
  const all = Array.from({ length: 6 }, () =>
    few.hash('x').then(
      () => 'done' as const,
      (error: unknown) => (error instanceof ApiError ? error.code : 'other'),
    ),
  )
  const outcomes = await Promise.all(all)
  assert.deepEqual(
    outcomes.filter((outcome) => outcome !== 'done'),
    ['unavailable', 'unavailable', 'unavailable'],
  )
  assert.equal(typeof (await few.hash('afterwards')), 'string')
})

async function hashWith(parameters: { memory: number; passes: number; lanes: number }): Promise<string> {
  const { argon2Sync } = await import('node:crypto')
  const salt = Buffer.from('somesaltsomesalt')
  const { memory, passes, lanes } = parameters
  const message = Buffer.from('correct horse')
  const tag = argon2Sync('argon2id', {
    message,
    nonce: salt,
    memory,
    passes,
    parallelism: lanes,
    tagLength: 24,
  })
  const text = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '')
  return `$argon2id$v=19$m=${memory},t=${passes},p=${lanes}$${text(salt)}$${text(tag)}`
}
