import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { blobStoreLimits } from '../limits.ts'
import { largestPartBytes, PARTS_MAX, partSizeBytes, partsTotalBytes } from './part-sizes.ts'

const MIB = 1024 * 1024
const TIB = MIB * MIB
const S3_PARTS_MAX = 10_000

describe('part sizes', () => {
  it('hold a TiB in the parts that S3 allows, within the memory for uploads', () => {
    assert.equal(PARTS_MAX, S3_PARTS_MAX)
    assert.ok(partsTotalBytes(PARTS_MAX, blobStoreLimits.s3PartBytes) >= TIB)
    assert.ok(largestPartBytes(blobStoreLimits.s3PartBytes) <= blobStoreLimits.s3WriteBudgetBytes)
  })

  it('add up to the total, part by part, and never shrink', () => {
    let totalBytes = 0
    let before = 0
    for (let parts = 0; parts < PARTS_MAX; parts++) {
      assert.equal(partsTotalBytes(parts, 8 * MIB), totalBytes)
      const sizeBytes = partSizeBytes(parts, 8 * MIB) ?? 0
      assert.ok(sizeBytes >= before && sizeBytes > 0)
      before = sizeBytes
      totalBytes += sizeBytes
    }
    assert.equal(partsTotalBytes(PARTS_MAX, 8 * MIB), totalBytes)
    assert.equal(partSizeBytes(PARTS_MAX, 8 * MIB), null)
  })

  it('begin with the base size', () => {
    assert.equal(partSizeBytes(0, 8 * MIB), 8 * MIB)
    assert.equal(partSizeBytes(999, 8 * MIB), 8 * MIB)
    assert.equal(partSizeBytes(1_000, 8 * MIB), 32 * MIB)
    assert.equal(partSizeBytes(2_000, 8 * MIB), 144 * MIB)
  })
})
