import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as mediaType from './media-type.ts'

describe('parseMediaType', () => {
  const cases: [name: string, header: string, expected: string | null][] = [
    ['plain', mediaType.OCI_IMAGE_MANIFEST, mediaType.OCI_IMAGE_MANIFEST],
    ['upper case', 'Application/JSON', 'application/json'],
    ['parameter', 'application/json; charset=utf-8', 'application/json'],
    ['parameter without space', 'application/json;charset=utf-8', 'application/json'],
    ['quoted parameter', 'application/json; a="b;c\\"d"', 'application/json'],
    ['two parameters', 'a/b; c=d ;e=f', 'a/b'],
    ['empty parameters', 'a/b; ; ;c=d;', 'a/b'],
    ['white space around', ' \ta/b\t ', 'a/b'],
    ['plus and dots', mediaType.OCI_LAYER_TAR_ZSTD, mediaType.OCI_LAYER_TAR_ZSTD],
    ['empty', '', null],
    ['no slash', 'application', null],
    ['empty subtype', 'application/', null],
    ['empty type', '/json', null],
    ['two slashes', 'a/b/c', null],
    ['space inside', 'a/ b', null],
    ['list', 'a/b, c/d', null],
    ['parameter without value', 'a/b; c', null],
    ['parameter with space around =', 'a/b; c = d', null],
    ['unclosed quote', 'a/b; c="d', null],
    ['tab in type', 'a\tb/c', null],
    ['line break', 'a/b\r\nX: y', null],
    ['NUL', 'a/b\0', null],
    ['non-ASCII', 'a/bé', null],
    ['too long', `a/${'b'.repeat(1_100)}`, null],
  ]
  for (const [name, header, expected] of cases) {
    it(name, () => assert.equal(mediaType.parseMediaType(header), expected))
  }

  it('ends on input made to backtrack', () => {
    for (const filler of [' ', '; ', ';a=b', ';a="\\"', '; ; ;  ', ';a=""']) {
      const header = `a/b${filler.repeat(1_000)}`.slice(0, 1_000)
      assert.equal(mediaType.parseMediaType(`${header}\0`), null)
    }
  })
})

describe('media type classes', () => {
  const manifests = [mediaType.OCI_IMAGE_MANIFEST, mediaType.DOCKER_MANIFEST]
  const indexes = [mediaType.OCI_IMAGE_INDEX, mediaType.DOCKER_MANIFEST_LIST]
  const schema1 = [mediaType.DOCKER_SCHEMA1_MANIFEST, mediaType.DOCKER_SCHEMA1_SIGNED_MANIFEST]
  const nonDistributable = [
    mediaType.OCI_NONDISTRIBUTABLE_TAR,
    mediaType.OCI_NONDISTRIBUTABLE_TAR_GZIP,
    mediaType.OCI_NONDISTRIBUTABLE_TAR_ZSTD,
    mediaType.DOCKER_FOREIGN_LAYER_TAR,
    mediaType.DOCKER_FOREIGN_LAYER_TAR_GZIP,
  ]
  const constants = Object.values<unknown>(mediaType).filter(
    (value): value is string => typeof value === 'string',
  )

  it('has each constant once, in the form that parseMediaType gives', () => {
    assert.equal(new Set(constants).size, constants.length)
    for (const constant of constants) assert.equal(mediaType.parseMediaType(constant), constant)
  })

  const classes: [name: string, predicate: (type: string) => boolean, members: string[]][] = [
    ['image manifest', mediaType.isImageManifestMediaType, manifests],
    ['index', mediaType.isIndexMediaType, indexes],
    ['manifest', mediaType.isManifestMediaType, [...manifests, ...indexes]],
    [
      'Docker manifest',
      mediaType.isDockerManifestMediaType,
      [mediaType.DOCKER_MANIFEST, mediaType.DOCKER_MANIFEST_LIST],
    ],
    ['schema 1', mediaType.isDockerSchema1MediaType, schema1],
    ['non-distributable layer', mediaType.isNonDistributableLayer, nonDistributable],
  ]
  for (const [name, predicate, members] of classes) {
    it(`${name}: exactly its members`, () => {
      assert.deepEqual(constants.filter(predicate).toSorted(), members.toSorted())
      assert.equal(predicate('application/json'), false)
    })
  }
})
