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

/** A list as long as any: an id, what is read, and what is given to other commands. */
const KEYS = [
  { title: 'ID', value: (row: Key) => row.id },
  { title: 'NAME', value: (row: Key) => row.name, shrink: true },
  { title: 'STATE', value: () => 'active' },
  { title: 'ACTIONS', value: () => 'pull,push' },
  { title: 'REPOSITORIES', value: () => 'web/**,tools/**', shrink: true },
  { title: 'OF', value: (row: Key) => row.of },
  { title: 'LAST USED', value: () => '12 minutes ago' },
]
interface Key {
  readonly id: string
  readonly name: string
  readonly of: string
}
const KEY = { id: 'ndtm5sepwra0', name: 'a key with a name of some length', of: 'd473vicba28a' }

for (const width of [80, 60]) {
  test(`on ${width} columns no id is cut: what does not fit stands on an indented line`, () => {
    const lines = renderTable(KEYS, [KEY, { ...KEY, id: 'k3v9x2m7q4ab' }], width)
    assert.ok(
      lines.every((line) => line.length <= width),
      lines.join('\n'),
    )
    const text = lines.join('\n')
    for (const whole of [KEY.id, 'k3v9x2m7q4ab', KEY.of, '12 minutes ago'])
      assert.ok(text.includes(whole), text)
    assert.match(text, /^ID .*\n {4}\w.*\nndtm5sepwra0 .*\n {4}\S/)
  })

  test(`on ${width} columns a digest is whole`, () => {
    const digest = `sha256:${'0123456789abcdef'.repeat(4)}`
    const columns = [
      { title: 'DIGEST', value: () => digest },
      { title: 'TAGS', value: (row: { tags: string }) => row.tags, shrink: true },
      { title: 'GONE', value: () => 'in 6 days' },
    ]
    const lines = renderTable(columns, [{ tags: 'v1' }], width)
    assert.ok(lines.some((line) => line.startsWith(digest)))
    assert.match(lines.at(-1) ?? '', /^ {4}.*in 6 days$/)
    assert.ok(lines.every((line) => line.length <= Math.max(width, digest.length)))
  })
}

test('what may be cut is cut before a row takes a second line', () => {
  const lines = renderTable(KEYS.slice(0, 3), [KEY], 40)
  assert.deepEqual(lines.slice(1), ['ndtm5sepwra0  a key with a name…  active'])
})
