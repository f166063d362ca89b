// @stacks sqlite-fs
// @uses mount
/**
 * A disk that is nearly full refuses uploads with a clear error while pulls and deletes go on; a disk without a single
 * free byte loses nothing; and with space again everything works again, without a restart.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Berth, KeyAnswer } from '../support/berth.ts'
import { unmountBelow } from '../support/mounts.ts'
import { onProcessEnd, temporaryFolder, waitFor } from '../support/process.ts'
import {
  type Blob,
  blobOf,
  call,
  callFor,
  imageOf,
  logLines,
  openUpload,
  pushBlob,
  pushImage,
  randomBlob,
  startHostileBerth,
} from './fixture.ts'

const MIB = 1024 * 1024
const DISK_MIB = 64
const RESERVE_MIB = 16

interface Setup {
  readonly berth: Berth
  readonly key: KeyAnswer
  readonly image: ReturnType<typeof imageOf>
  readonly spare: Blob
}

async function prepare(berth: Berth): Promise<Setup> {
  const project = await berth.createProject('acme')
  const key = await berth.createKey(project.id, { actions: ['pull', 'push', 'delete'] })
  const image = imageOf(randomBlob(2 * MIB))
  const spare = randomBlob(100_000)
  await pushImage(berth, key, 'acme/web', 'v1', image)
  await pushBlob(berth, key, 'acme/web', spare)
  return { berth, key, image, spare }
}

/** Every way to begin an upload. */
async function starts({ berth, key: { authorization } }: Setup) {
  const [small, large] = [randomBlob(100), randomBlob(100_000)]
  const atOnce = (blob: Blob) =>
    call(berth, 'POST', `/v2/acme/web/blobs/uploads/?digest=${blob.digest}`, {
      authorization,
      body: new Uint8Array(blob.content),
    })
  return [
    await call(berth, 'POST', '/v2/acme/web/blobs/uploads/', { authorization }),
    await atOnce(small),
    await atOnce(large),
  ]
}

async function checkRefused(setup: Setup): Promise<void> {
  for (const answer of await starts(setup)) {
    assert.equal(answer.status, 403, answer.body.toString())
    const { errors } = JSON.parse(answer.body.toString()) as {
      errors: { code: string; message: string; detail: { limit: string } }[]
    }
    assert.equal(errors[0]?.code, 'DENIED')
    assert.match(errors[0]?.message ?? '', /disk is nearly full/)
    assert.equal(errors[0]?.detail.limit, 'disk')
  }
}

async function checkPulls({ berth, key: { authorization }, image }: Setup): Promise<void> {
  const manifest = await callFor(200, berth, 'GET', '/v2/acme/web/manifests/v1', { authorization })
  assert.equal(blobOf(manifest.body).digest, image.manifest.digest)
  for (const { digest } of [image.config, image.layer]) {
    const blob = await callFor(200, berth, 'GET', `/v2/acme/web/blobs/${digest}`, { authorization })
    assert.equal(blobOf(blob.body).digest, digest)
  }
  await callFor(200, berth, 'GET', '/v2/acme/web/tags/list', { authorization })
  await callFor(200, berth, 'GET', '/readyz')
}

/** The free space is asked for once a second. */
async function untilUploads(setup: Setup, statuses: readonly number[]): Promise<void> {
  await waitFor(`uploads to answer ${statuses.join(' ')}`, async () => {
    const answers = await starts(setup)
    return answers.every(({ status }, n) => status === statuses[n])
  })
}

test('a reserve that is not there any more: uploads are refused, everything else goes on', async (t) => {
  const setup = await prepare(await startHostileBerth({ test: t }))
  const { berth, key, spare } = setup
  await berth.restart({ BERTH_DISK_RESERVE: '1024GiB' })
  await checkRefused(setup)
  await checkPulls(setup)
  const { authorization } = key
  await callFor(202, berth, 'DELETE', `/v2/acme/web/blobs/${spare.digest}`, { authorization })
  await berth.restart()
  assert.deepEqual(
    (await starts(setup)).map(({ status }) => status),
    [202, 201, 201],
  )
  assert.deepEqual(logLines(berth, 'error'), [])
})

test('a small disk that fills up to the last byte', async (t) => {
  const disk = mountDisk()
  if (disk === null) {
    t.skip('this needs the right to mount a small disk')
    return
  }
  t.after(disk.unmount)
  const env = { BERTH_DISK_RESERVE: `${RESERVE_MIB}MiB` }
  const dataDir = join(disk.path, 'data')
  mkdirSync(dataDir)
  const setup = await prepare(await startHostileBerth({ test: t, dataDir, env }))
  const { berth, key, spare, image } = setup
  const { authorization } = key
  const running = randomBlob(3 * MIB)
  const second = randomBlob(100_000)
  await pushBlob(berth, key, 'acme/web', second)
  const path = await openUpload(berth, key, 'acme/web')
  await callFor(202, berth, 'PATCH', path, {
    authorization,
    body: new Uint8Array(running.content.subarray(0, MIB)),
  })

  await t.test('below the reserve', async () => {
    disk.fillUpTo(RESERVE_MIB * MIB - MIB)
    await untilUploads(setup, [403, 403, 403])
    await checkRefused(setup)
    await checkPulls(setup)
    await callFor(202, berth, 'DELETE', `/v2/acme/web/blobs/${spare.digest}`, { authorization })
  })

  await t.test('without a free byte', async () => {
    disk.fillUpTo(0)
    await checkPulls(setup)
    await checkRefused(setup)
    const chunk = await call(berth, 'PATCH', path, {
      authorization,
      headers: { 'content-range': `${MIB}-${3 * MIB - 1}` },
      body: new Uint8Array(running.content.subarray(MIB)),
    })
    assert.equal(chunk.status, 403, chunk.body.toString())
    assert.match(
      chunk.body.toString(),
      /"code":"DENIED","message":"the registry(?: has no space left|'s disk is full)/,
    )
    // A delete writes to the database, so it may fail here too: then nothing has changed.
    const removed = await call(berth, 'DELETE', `/v2/acme/web/blobs/${second.digest}`, { authorization })
    assert.ok([202, 403].includes(removed.status), removed.body.toString())
    const left = await call(berth, 'GET', `/v2/acme/web/blobs/${second.digest}`, { authorization })
    assert.equal(left.status, removed.status === 202 ? 404 : 200)
    await checkPulls(setup)
  })

  await t.test('with space again', async () => {
    disk.fillUpTo(null)
    await untilUploads(setup, [202, 201, 201])
    await checkPulls(setup)
    const stands = await callFor(204, berth, 'GET', path, { authorization })
    assert.equal(stands.headers.get('range'), `0-${MIB - 1}`)
    await callFor(202, berth, 'PATCH', path, {
      authorization,
      headers: { 'content-range': `${MIB}-${3 * MIB - 1}` },
      body: new Uint8Array(running.content.subarray(MIB)),
    })
    await callFor(201, berth, 'PUT', `${path}?digest=${running.digest}`, { authorization })
    const read = await callFor(200, berth, 'GET', `/v2/acme/web/blobs/${running.digest}`, { authorization })
    assert.equal(blobOf(read.body).digest, running.digest)
    await callFor(202, berth, 'DELETE', '/v2/acme/web/manifests/v1', { authorization })
    const again = imageOf(image.layer, { annotations: { again: 'yes' } })
    await pushImage(berth, key, 'acme/web', 'v2', again)
    const fsck = await berth.cli(['fsck'], { allowFailure: true })
    assert.equal(fsck.code, 0, `${fsck.stdout}${fsck.stderr}`)
  })
})

interface Disk {
  readonly path: string
  /** Leaves this many bytes free; null: takes everything away again. */
  fillUpTo(freeBytes: number | null): void
  unmount(): void
}

/** Null without the right to mount. */
function mountDisk(): Disk | null {
  const folder = temporaryFolder('disk')
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'berth-test', folder.path], {
      stdio: 'ignore',
    })
  } catch {
    folder.remove()
    return null
  }
  const forget = onProcessEnd(() => unmountBelow(folder.path))
  const filler = join(folder.path, 'filler')
  return {
    path: folder.path,
    fillUpTo(freeBytes) {
      rmSync(filler, { force: true })
      if (freeBytes === null) return
      const { bavail, bsize } = statfsSync(folder.path)
      writeZeros(filler, bavail * bsize - freeBytes)
    },
    unmount() {
      unmountBelow(folder.path)
      forget()
      folder.remove()
    },
  }
}

/** As many of the bytes as there is space for. */
function writeZeros(path: string, sizeBytes: number): void {
  const zeros = Buffer.alloc(MIB)
  const file = openSync(path, 'w')
  try {
    for (let left = sizeBytes; left > 0; left -= MIB) writeSync(file, zeros, 0, Math.min(left, MIB))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(file)
  }
}
