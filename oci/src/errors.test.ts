import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OCI_ERRORS, OciError, type OciErrorCode, renderOciErrors, toOciError } from './errors.ts'

// Distribution spec, "Error Codes", and the status that each has when nothing else is said.
const STATUS: Record<OciErrorCode, number> = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  UNKNOWN: 500,
}

describe('error table', () => {
  it('has the 14 codes of the spec and UNKNOWN', () => {
    assert.deepEqual(Object.keys(OCI_ERRORS).toSorted(), Object.keys(STATUS).toSorted())
  })
  for (const [code, row] of Object.entries(OCI_ERRORS)) {
    it(code, () => {
      assert.equal(row.status, STATUS[code as OciErrorCode])
      assert.match(row.message, /^[a-z][^.]*$/, 'a message is a short phrase')
      assert.match(row.description, /^[A-Z].*\.$/, 'a description is whole sentences')
      assert.ok(row.description.length > row.message.length)
    })
  }
  it('has no message and no description twice', () => {
    const rows = Object.values(OCI_ERRORS)
    assert.equal(new Set(rows.map((row) => row.message)).size, rows.length)
    assert.equal(new Set(rows.map((row) => row.description)).size, rows.length)
  })
})

describe('OciError', () => {
  it('takes status and message from the table', () => {
    const error = new OciError('NAME_UNKNOWN')
    assert.equal(error.status, 404)
    assert.equal(error.message, OCI_ERRORS.NAME_UNKNOWN.message)
    assert.deepEqual(renderOciErrors(error), {
      errors: [{ code: 'NAME_UNKNOWN', message: 'repository name not known to registry', detail: null }],
    })
  })

  it('lets the throw site say more', () => {
    const cause = new Error('disk on fire')
    const error = new OciError('BLOB_UPLOAD_INVALID', 'the chunk must start at 7', {
      status: 416,
      detail: { offset: 7 },
      headers: { Range: '0-6' },
      cause,
    })
    assert.equal(error.status, 416)
    assert.deepEqual(error.headers, { Range: '0-6' })
    assert.equal(error.cause, cause)
    assert.deepEqual(renderOciErrors(error), {
      errors: [{ code: 'BLOB_UPLOAD_INVALID', message: 'the chunk must start at 7', detail: { offset: 7 } }],
    })
    assert.doesNotMatch(JSON.stringify(renderOciErrors(error)), /fire/)
  })

  it('shows nothing of an error that nobody foresaw', () => {
    for (const thrown of [
      new TypeError('secret text'),
      'secret text',
      undefined,
      { message: 'secret text' },
    ]) {
      const error = toOciError(thrown)
      assert.equal(error.status, 500)
      assert.equal(error.cause, thrown)
      assert.deepEqual(renderOciErrors(thrown), {
        errors: [{ code: 'UNKNOWN', message: 'unknown error', detail: null }],
      })
    }
  })

  it('passes an OciError through', () => {
    const error = new OciError('DENIED')
    assert.equal(toOciError(error), error)
  })
})
