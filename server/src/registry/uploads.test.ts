import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { digestOf } from '@berth/oci/digest'
import { openTestRegion, type TestRegion } from './test-region.ts'

describe('uploads', () => {
  let region: TestRegion
  before(async () => {
    region = await openTestRegion()
    await region.createProject('acme')
    await region.createKey('acme')
  })
  after(() => region.close())

  it('takes a small blob at once', async () => {
    const body = Buffer.from('hello')
    const digest = digestOf('sha256', body)
    const put = await region.call('POST', `/v2/acme/web/blobs/uploads/?digest=${digest}`, { body })
    assert.equal(put.status, 201, put.body.toString() + region.logged())
    const got = await region.call('GET', `/v2/acme/web/blobs/${digest}`)
    assert.equal(got.status, 200)
    assert.deepEqual(got.body, body)
  })
})
