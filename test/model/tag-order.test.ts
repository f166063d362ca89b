import assert from 'node:assert/strict'
import { test } from 'node:test'
import { explainTag, type TagEffect, type TagOperation } from './tag-order.ts'

function operation(actor: string, invokedAt: number, answeredAt: number, effect: TagEffect): TagOperation {
  return { actor, invokedAt, answeredAt, effect }
}

const set = (digest: string): TagEffect => ({ kind: 'set', digest })
const saw = (digest: string | null): TagEffect => ({ kind: 'saw', digest })

test('two overlapping writes may take effect in either order', () => {
  const operations = [operation('x', 1, 4, set('a')), operation('y', 2, 3, set('b'))]
  const a = { digest: 'a', actor: 'x' }
  const b = { digest: 'b', actor: 'y' }
  assert.equal(explainTag([a, b], operations), null)
  assert.equal(explainTag([b, a], operations), null)
})

test('a write that ended before another began comes first', () => {
  const operations = [operation('x', 1, 2, set('a')), operation('y', 3, 4, set('b'))]
  const history = [
    { digest: 'b', actor: 'y' },
    { digest: 'a', actor: 'x' },
  ]
  assert.notEqual(explainTag(history, operations), null)
})

test('an acknowledged write that the history lacks, or a second one, is found', () => {
  const a = { digest: 'a', actor: 'x' }
  assert.notEqual(explainTag([], [operation('x', 1, 2, set('a'))]), null)
  assert.notEqual(explainTag([a, a], [operation('x', 1, 2, set('a'))]), null)
  assert.notEqual(explainTag([a], []), null)
})

test('a read after an acknowledged write never sees the time before it', () => {
  const history = [
    { digest: 'a', actor: 'x' },
    { digest: 'b', actor: 'x' },
  ]
  const writes = [operation('x', 1, 2, set('a')), operation('x', 3, 6, set('b'))]
  assert.equal(explainTag(history, [...writes, operation('y', 4, 5, saw('a'))]), null)
  assert.equal(explainTag(history, [...writes, operation('y', 4, 5, saw('b'))]), null)
  assert.notEqual(explainTag(history, [...writes, operation('y', 7, 8, saw('a'))]), null)
  assert.notEqual(explainTag(history, [...writes, operation('y', 4, 5, saw(null))]), null)
})

test('two reads, one after the other, never see the tag go back', () => {
  const history = [{ digest: 'a', actor: 'x' }]
  const write = operation('x', 1, 8, set('a'))
  const first = operation('y', 2, 3, saw('a'))
  assert.equal(
    explainTag(history, [write, operation('y', 2, 3, saw(null)), operation('z', 4, 5, saw('a'))]),
    null,
  )
  assert.notEqual(explainTag(history, [write, first, operation('z', 4, 5, saw(null))]), null)
})

test('the delete of a manifest unset the tag only where it pointed there', () => {
  const history = [
    { digest: 'a', actor: 'x' },
    { digest: null, actor: 'y' },
  ]
  const write = operation('x', 1, 2, set('a'))
  assert.equal(explainTag(history, [write, operation('y', 3, 4, { kind: 'unset if', digest: 'a' })]), null)
  assert.notEqual(explainTag(history, [write, operation('y', 3, 4, { kind: 'unset if', digest: 'b' })]), null)
})
