/** Longest line of a stream that is read, in characters. */
const MAX_LINE_LENGTH = 4 * 1024 * 1024

/** Writes values as NDJSON: one JSON object a line. */
export async function* writeNdjson(values: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const value of values) yield `${JSON.stringify(value)}\n`
}

/**
 * Reads NDJSON line by line; at no time more than a line and a chunk is in memory. Throws `SyntaxError` for a line that
 * is no JSON or has no end, and what the body throws when it breaks off.
 */
export async function* readNdjson(body: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let rest = ''
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > MAX_LINE_LENGTH) throw new SyntaxError('a line of the stream has no end')
    for (const line of lines) yield JSON.parse(line)
  }
  if (rest !== '') throw new SyntaxError('the stream ends in the middle of a line')
}
