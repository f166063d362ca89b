/** One case of a JUnit report, as the official suite writes it. */
export type JunitCase = {
  /** The case's whole path, without the suite's own name: `sha256 blobs/post only/blob-post-only`. */
  readonly name: string
  readonly status: 'passed' | 'skipped' | 'failure' | 'error'
  /** What it says of itself when it did not pass. */
  readonly output: string
}

const testCase = /<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g
const statuses = ['passed', 'skipped', 'failure', 'error'] as const

/**
 * Reads the cases of a report. The official suite states the outcome in an attribute of its own, `status`, and what it
 * has to say in `system-out`. Throws for a case without a name or with a status that is none.
 */
export function parseJunit(xml: string): JunitCase[] {
  return [...xml.matchAll(testCase)].map(([, attributes = '', content = '']) => {
    const name = attribute(attributes, 'name')
    const status = statuses.find((known) => known === attribute(attributes, 'status'))
    if (name === null || status === undefined)
      throw new Error(`not a case of the suite: <testcase${attributes}>`)
    const output = /<system-out>([\s\S]*?)<\/system-out>/.exec(content)?.[1] ?? ''
    return { name: name.slice(name.indexOf('/') + 1), status, output: unescapeXml(output) }
  })
}

function attribute(attributes: string, name: string): string | null {
  const value = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(attributes)?.[1]
  return value === undefined ? null : unescapeXml(value)
}

const entities: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

function unescapeXml(text: string): string {
  return text.replace(
    /&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi,
    (whole, hex?: string, decimal?: string, name?: string) => {
      if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16))
      if (decimal !== undefined) return String.fromCodePoint(Number(decimal))
      return entities[name ?? ''] ?? whole
    },
  )
}
