// @uses oci-conformance
/**
 * The official conformance suite of the OCI distribution spec, the program itself, in both of its versions and with
 * authentication. It needs a Go toolchain and a module proxy that has it; docs/conformance.md says how else to get it.
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

/** Cases that the suite itself counts as skipped, with the words of docs/conformance.md for why. */
const skips: Record<Version, readonly string[]> = {
  stable: [
    'sha256 blobs/mount anonymous/blob-mount-anonymous',
    'sha256 blobs/post cancel/blob-post-cancel',
    'sha512 blobs/mount anonymous/blob-mount-anonymous',
    'sha512 blobs/post cancel/blob-post-cancel',
  ],
  dev: [
    'sha256 blobs/mount anonymous/blob-mount-anonymous',
    'sha512 blobs/mount anonymous/blob-mount-anonymous',
  ],
}

const { available, missing } = await ensureTools(['oci-conformance'])
const program = available.get('oci-conformance')

for (const version of ['stable', 'dev'] as const) {
  const skip = program === undefined ? describeMissing(missing) : false
  test(`the official suite, ${version}: no failures, and only the documented skips`, { skip }, async (t) => {
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
    assert.deepEqual(skipped.toSorted(), skips[version])
    assert.equal(run.code, 0)
  })
}

test('the docs name every case that is skipped', () => {
  const docs = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'conformance.md'), 'utf8')
  for (const name of new Set(Object.values(skips).flat())) {
    assert.ok(
      docs.includes(name.replace(/^sha(256|512) blobs\//, '')),
      `docs/conformance.md does not name ${name}`,
    )
  }
})
