import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { MAX_PREPARED_STATEMENTS } from './limits.ts'
import { Statements } from './statements.ts'

function open(): { connection: DatabaseSync; statements: Statements } {
  const connection = new DatabaseSync(':memory:')
  connection.exec('create table thing (id integer primary key, name text) strict')
  return { connection, statements: new Statements(connection) }
}

test('rows are plain objects, and numbers come back as they went in', () => {
  const { statements } = open()
  assert.deepEqual(statements.run('insert into thing (id, name) values (?, ?)', [7, 'anchor']), {
    rows: [],
    changes: 1,
    lastInsertId: 7,
  })
  assert.deepEqual(statements.run('select id, name, ? as half, 7 / ? as whole from thing', [0.5, 2]).rows, [
    { id: 7, name: 'anchor', half: 0.5, whole: 3 },
  ])
})

test('a statement that was prepared before a column was added answers the new column too', () => {
  const { connection, statements } = open()
  statements.run('insert into thing (id, name) values (1, null)', [])
  assert.deepEqual(statements.run('select * from thing', []).rows, [{ id: 1, name: null }])
  connection.exec('alter table thing add column weight integer')
  assert.deepEqual(statements.run('select * from thing', []).rows, [{ id: 1, name: null, weight: null }])
})

test('more texts than are kept can be run', () => {
  const { statements } = open()
  for (let round = 0; round < 2; round += 1) {
    for (let index = 0; index <= MAX_PREPARED_STATEMENTS; index += 1) {
      assert.deepEqual(statements.run(`select ${index} as value`, []).rows, [{ value: index }])
    }
  }
})

test('what cannot be stored is refused', () => {
  const { statements } = open()
  const insert = 'insert into thing (id, name) values (1, ?)'
  for (const value of [undefined, true, {}, [], new Date()]) {
    assert.throws(() => statements.run(insert, [value]), TypeError)
  }
  assert.throws(() => statements.run('insert into thing (id, name) values (?, null)', ['x']), {
    code: 'ERR_SQLITE_ERROR',
  })
})
