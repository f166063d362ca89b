import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readNdjson, writeNdjson } from './ndjson.ts'

const VALUES = [{ a: 1 }, { text: 'zwei\nZeilen ✓' }, { list: [null, true] }]

async function* inChunks(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text)
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size)
}

async function collect<Value>(values: AsyncIterable<Value>): Promise<Value[]> {
  const collected: Value[] = []
  for await (const value of values) collected.push(value)
  return collected
}

async function writtenText(): Promise<string> {
  const lines = await collect(
    writeNdjson(
      (async function* () {
        yield* VALUES
      })(),
    ),
  )
  return lines.join('')
}

test('what was written is read, wherever the chunks are cut', async () => {
  const text = await writtenText()
  for (const size of [1, 2, 3, 7, 1000]) {
    assert.deepEqual(await collect(readNdjson(inChunks(text, size))), VALUES)
  }
})

test('a stream that breaks off in a line is told from one that ends', async () => {
  const text = await writtenText()
  await assert.rejects(collect(readNdjson(inChunks(text.slice(0, -3), 4))), SyntaxError)
})
