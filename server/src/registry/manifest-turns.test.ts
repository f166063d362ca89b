import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_MANIFEST_SIZE_BYTES } from '@berth/oci/limits'
import { MANIFEST_BODIES_PER_PROJECT_BYTES, SMALL_MANIFEST_BYTES } from './limits.ts'
import { createManifestTurns } from './manifest-turns.ts'

const PER_PROJECT = MANIFEST_BODIES_PER_PROJECT_BYTES / MAX_MANIFEST_SIZE_BYTES

test('a project whose senders trickle waits for itself, and holds up nobody else', async () => {
  const turns = createManifestTurns(50)
  const end = Promise.withResolvers<void>()
  const slow = Array.from({ length: PER_PROJECT }, () => turns.take('slow', null, () => end.promise))
  await assert.rejects(
    turns.take('slow', MAX_MANIFEST_SIZE_BYTES, async () => 'received'),
    (error: { status?: number }) => error.status === 503,
  )
  assert.equal(await turns.take('slow', SMALL_MANIFEST_BYTES, async () => 'received'), 'received')
  assert.equal(await turns.take('other', null, async () => 'received'), 'received')
  end.resolve()
  await Promise.all(slow)
  assert.equal(await turns.take('slow', null, async () => 'received'), 'received')
})

test('what was taken is given back when receiving fails', async () => {
  const turns = createManifestTurns(50)
  for (let push = 0; push < 2 * PER_PROJECT; push += 1) {
    const failing = turns.take('one', null, () => Promise.reject(new Error('the client has gone')))
    await assert.rejects(failing, /the client has gone/)
  }
})
