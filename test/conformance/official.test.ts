// @uses oci-conformance
/**
 * The official conformance suite of the OCI distribution spec, the program itself, in both of its versions, with
 * authentication, and with both of its ways to use tokens. It needs a Go toolchain and a module proxy that has it;
 * docs/conformance.md says how else to get it.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startBerth } from '../support/berth.ts'
import { runCommand, temporaryFolder } from '../support/process.ts'
import { describeMissing, ensureTools } from '../support/tools.ts'
import type { Version } from './cases.ts'
import { parseJunit } from './junit.ts'

const timeoutMs = 5 * 60_000
/** The suite has about 390 different cases; far fewer means that it stopped early. */
const leastCases = 350

const anonymousMounts = [
  'sha256 blobs/mount anonymous/blob-mount-anonymous',
  'sha512 blobs/mount anonymous/blob-mount-anonymous',
]
const cancels = ['sha256 blobs/post cancel/blob-post-cancel', 'sha512 blobs/post cancel/blob-post-cancel']

type Run = {
  version: Version
  /** Whether the suite uses a token again for the same repository, as it does unless told otherwise. */
  keepsTokens: boolean
  /** Cases that the suite then leaves out or counts as not supported; docs/conformance.md says why. */
  skips: readonly string[]
}

const runs: readonly Run[] = [
  { version: 'stable', keepsTokens: true, skips: cancels },
  { version: 'stable', keepsTokens: false, skips: [...anonymousMounts, ...cancels] },
  { version: 'dev', keepsTokens: true, skips: [] },
  { version: 'dev', keepsTokens: false, skips: anonymousMounts },
]

const { available, missing } = await ensureTools(['oci-conformance'])
const program = available.get('oci-conformance')

for (const { version, keepsTokens, skips } of runs) {
  const skip = program === undefined ? describeMissing(missing) : false
  const tokens = keepsTokens ? 'kept tokens' : 'a new token for each request'
  const name = `the official suite, ${version}, ${tokens}: no failures, and only the documented skips`
  test(name, { skip }, async (t) => {
    const berth = await startBerth({ test: t })
    const project = await berth.createProject('conformance')
    const { key } = await berth.createKey(project.id, { actions: ['pull', 'push', 'delete'] })
    const results = temporaryFolder('conformance')
    t.after(() => results.remove())
    const run = await runCommand(String(program), [], {
      cwd: results.path,
      timeoutMs,
      allowFailure: true, // It exits with 1 when a case fails; the report says which.
      env: {
        PATH: process.env['PATH'],
        OCI_REGISTRY: berth.registryHost,
        OCI_TLS: 'disabled',
        OCI_REPO1: 'conformance/repo1',
        OCI_REPO2: 'conformance/repo2',
        OCI_USERNAME: 'api',
        OCI_PASSWORD: key,
        OCI_VERSION: version,
        OCI_CACHE_AUTH: String(keepsTokens),
        OCI_RESULTS_DIR: results.path,
        OCI_LOG: 'warn',
      },
    })
    const cases = parseJunit(readFileSync(join(results.path, 'junit.xml'), 'utf8'))
    const failed = cases.filter(({ status }) => status === 'failure' || status === 'error')
    assert.deepEqual(
      failed.map(({ name, output }) => `${name}: ${output}`),
      [],
      run.stdout.slice(-10_000),
    )
    assert.ok(new Set(cases.map(({ name }) => name)).size >= leastCases, run.stdout.slice(-10_000))
    const skipped = cases.filter(({ status }) => status === 'skipped').map(({ name }) => name)
    t.diagnostic(`${cases.length} cases, skipped: ${skipped.join(', ') || 'none'}`)
    assert.deepEqual(skipped.toSorted(), skips.toSorted())
    assert.equal(run.code, 0)
  })
}

test('the docs name every case that is skipped', () => {
  const docs = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'conformance.md'), 'utf8')
  for (const name of new Set(runs.flatMap(({ skips }) => skips))) {
    assert.ok(
      docs.includes(name.replace(/^sha(256|512) blobs\//, '')),
      `docs/conformance.md does not name ${name}`,
    )
  }
})
