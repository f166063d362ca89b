import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renderFields, renderTable } from './table.ts'

const COLUMNS = [
  { title: 'NAME', value: (row: { name: string; size: string }) => row.name, shrink: true },
  { title: 'SIZE', value: (row: { name: string; size: string }) => row.size, align: 'right' as const },
]

test('columns are as wide as their widest value', () => {
  const rows = [
    { name: 'a', size: '1 B' },
    { name: 'longer', size: '10 KiB' },
  ]
  assert.deepEqual(renderTable(COLUMNS, rows, null), ['NAME      SIZE', 'a          1 B', 'longer  10 KiB'])
})

test('a table fits the terminal: what may shrink is cut first, and visibly', () => {
  const rows = [{ name: 'x'.repeat(50), size: '10 KiB' }]
  const lines = renderTable(COLUMNS, rows, 20)
  assert.ok(
    lines.every((line) => line.length <= 20),
    lines.join('\n'),
  )
  assert.deepEqual(lines, ['NAME            SIZE', 'xxxxxxxxxxx…  10 KiB'])
})

test('a table in a pipe is never cut', () => {
  const rows = [{ name: 'x'.repeat(500), size: '1 B' }]
  assert.ok(renderTable(COLUMNS, rows, null)[1]?.includes('x'.repeat(500)))
})

test('values cannot break the layout', () => {
  const lines = renderTable(COLUMNS, [{ name: 'a\nb\u001b[31m', size: '' }], null)
  assert.deepEqual(lines, ['NAME      SIZE', 'a�b�[31m'])
  assert.deepEqual(renderFields([['Name', 'a\nb']]), ['Name:  a�b'])
})
