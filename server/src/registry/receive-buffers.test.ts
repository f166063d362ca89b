import assert from 'node:assert/strict'
import { PerformanceObserver, constants } from 'node:perf_hooks'
import { test } from 'node:test'
import { RECEIVED_BYTES_PER_COLLECTION } from './limits.ts'
import { noteReceived } from './receive-buffers.ts'

test('young garbage is collected once in so many bytes, and old garbage is left alone', async () => {
  const kinds: number[] = []
  const seen = Promise.withResolvers<void>()
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind, flags } = (entry as unknown as { detail: { kind: number; flags: number } }).detail
      if ((flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) !== 0) kinds.push(kind)
    }
    if (kinds.length >= 2) seen.resolve()
  })
  observer.observe({ entryTypes: ['gc'] })
  for (let pieces = 0; pieces < 32; pieces += 1) noteReceived(RECEIVED_BYTES_PER_COLLECTION / 16)
  await seen.promise
  observer.disconnect()
  assert.deepEqual(kinds, [constants.NODE_PERFORMANCE_GC_MINOR, constants.NODE_PERFORMANCE_GC_MINOR])
})
