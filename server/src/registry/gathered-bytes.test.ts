import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { gatherBytes } from './gathered-bytes.ts'

describe('gathered bytes', () => {
  it('are those that came, in chunks of whatever size', () => {
    for (const sizes of [
      [],
      [0],
      [5],
      [0, 7, 0],
      [1, 1, 1],
      [4096, 1],
      [10_000, 70_000, 3],
      [3, 9000, 9000],
    ]) {
      const chunks = sizes.map((size) => randomBytes(size))
      const gathered = gatherBytes()
      for (const chunk of chunks) gathered.append(Buffer.from(chunk))
      const all = Buffer.concat(chunks)
      assert.equal(gathered.sizeBytes, all.byteLength)
      assert.deepEqual(gathered.bytes(), all)
    }
  })

  it('can be asked for between two chunks', () => {
    const gathered = gatherBytes()
    for (let size = 1; size <= 300; size++) {
      gathered.append(Buffer.from('ab'))
      assert.equal(gathered.bytes().toString(), 'ab'.repeat(size))
    }
  })

  it('do not keep the chunks that they came in, but for a single one', () => {
    const gathered = gatherBytes()
    const chunks = Array.from({ length: 3 }, () => Buffer.from('x'))
    for (const chunk of chunks) gathered.append(chunk)
    for (const chunk of chunks) chunk.fill('y')
    assert.equal(gathered.bytes().toString(), 'xxx')
  })

  it('have a buffer of their own size when many chunks came', () => {
    const gathered = gatherBytes()
    for (let i = 0; i < 5000; i++) gathered.append(Buffer.from('x'))
    assert.equal(gathered.bytes().buffer.byteLength, 5000)
  })
})
