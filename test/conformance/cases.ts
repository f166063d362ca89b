/**
 * Every case of the official suite (`conformance/` of the distribution spec at 967efdc) by the path that its results
 * give it, with how often it runs. This suite runs the same ones, and checks at its end that it ran all of them.
 */
export type Version = 'stable' | 'dev'

const read = ['blob-head', 'blob-get', 'blob-delete']

/** Cases of `sha256 blobs` and `sha512 blobs`. A name twice means that it runs twice. */
const blobCases: Record<string, readonly string[]> = {
  '': ['get-missing'],
  'post only': ['blob-post-only', ...read],
  'post+put': ['blob-post-put', ...read],
  'chunked single': ['blob-patch-chunked', ...read],
  stream: ['blob-patch-stream', ...read],
  mount: ['blob-post-put', 'blob-mount', ...read, 'blob-delete'],
  'mount anonymous': ['blob-post-put', 'blob-mount-anonymous', ...read, 'blob-delete'],
  'mount missing': ['blob-mount', ...read],
  'chunked multi': ['blob-patch-chunked', ...read],
  'chunked multi and put chunk': ['blob-patch-chunked', ...read],
  'chunked out-of-order': ['blob-patch-chunked', ...read],
  'chunked out-of-order and put chunk': ['blob-patch-chunked', ...read],
  'range requests': [
    'blob-post-put',
    'range 500-1499',
    'range 500-',
    'range -500',
    'range 2000-5000',
    'range 500-0',
    'range 5000-10000',
    'blob-delete',
  ],
  empty: ['blob-post-put', ...read],
  emptyJSON: ['blob-post-put', ...read],
  'bad digest post only': ['blob-post-only'],
  'bad digest post+put': ['blob-post-put'],
  'bad digest chunked': ['blob-patch-chunked'],
  'bad digest chunked and put chunk': ['blob-patch-chunked'],
  'bad digest stream': ['blob-patch-stream'],
}

/** Blobs, manifests and tags of each data set; whether it has referrers to list. */
const dataSets: Record<string, readonly [blobs: number, manifests: number, tags: number, referrers?: true]> =
  {
    image: [3, 1, 1],
    'image-uncompressed': [3, 1, 1],
    'large-manifest': [3, 1, 1],
    index: [6, 3, 1],
    'nested-index': [10, 7, 1],
    'empty-index': [0, 1, 1],
    artifact: [2, 1, 1],
    'artifact-index': [3, 3, 1],
    'artifact-without-layers': [1, 1, 1],
    'artifacts-with-subject': [8, 4, 3, true],
    'index-with-subject': [9, 6, 2, true],
    'missing-subject': [2, 1, 1, true],
    'data-field': [3, 1, 1],
    'non-distributable-layers': [2, 1, 1],
    'custom-fields': [6, 3, 1],
    'no-layers': [1, 1, 1],
    sha512: [6, 3, 0],
  }

/** How often each case must have run, by `path: name`. */
export function expectedCases(version: Version): Map<string, number> {
  const cases = new Map<string, number>([
    ['(top): ping', 1],
    ['empty: tag list', 1],
    ['empty: referrers', 1],
    ['missing-manifest: by-digest', 1],
    ['missing-manifest: by-tag', 1],
    ['invalid-digest-format: blob-post-put', 2],
    ['invalid-digest-format: manifest-put', 1],
    ['invalid-digest-format: manifest-get', 1],
    ['invalid-digest-format/delete: manifest-delete', 1],
    ['invalid-digest-format/delete: blob-delete', 2],
    ['bad-digest-image/push: blob-post-put', 3],
    ['bad-digest-image/push: manifest-by-digest', 1],
    ['bad-digest-image: tag-list', 1],
    ['bad-digest-image/head: blob-head', 3],
    ['bad-digest-image/pull: blob-get', 3],
    ['bad-digest-image/delete: manifest-delete', 1],
    ['bad-digest-image/delete: blob-delete', 3],
  ])
  const add = (path: string, name: string, times: number): void => {
    const key = `${path}: ${name}`
    if (times > 0) cases.set(key, (cases.get(key) ?? 0) + times)
  }
  for (const algorithm of ['sha256', 'sha512']) {
    const all =
      version === 'dev' ? { ...blobCases, 'post cancel': ['blob-post-cancel', 'blob-delete'] } : blobCases
    for (const [group, names] of Object.entries(all)) {
      for (const name of names) add(`${algorithm} blobs${group === '' ? '' : `/${group}`}`, name, 1)
    }
  }
  for (const [name, [blobs, manifests, tags, referrers]] of Object.entries(dataSets)) {
    addDataSet(add, name, {
      blobs,
      manifests,
      tags,
      hasReferrers: referrers === true,
      hasTagParameters: false,
    })
  }
  if (version === 'dev') {
    const set = { blobs: 6, manifests: 3, tags: 4, hasReferrers: false, hasTagParameters: true }
    for (const name of ['tag-param-sha256', 'tag-param-sha512']) addDataSet(add, name, set)
  }
  return cases
}

function addDataSet(
  add: (path: string, name: string, times: number) => void,
  name: string,
  set: { blobs: number; manifests: number; tags: number; hasReferrers: boolean; hasTagParameters: boolean },
): void {
  add(`${name}/push`, 'blob-post-put', set.blobs)
  add(`${name}/push`, 'manifest-by-digest', set.manifests)
  add(`${name}/push`, 'manifest-by-tag', set.hasTagParameters ? 0 : set.tags)
  add(name, 'tag-list', 1)
  if (set.hasReferrers) add(name, 'referrers', 1)
  add(`${name}/head`, 'manifest-head-by-tag', set.tags)
  add(`${name}/head`, 'manifest-head-by-digest', set.manifests)
  add(`${name}/head`, 'blob-head', set.blobs)
  add(`${name}/pull`, 'manifest-by-tag', set.tags)
  add(`${name}/pull`, 'manifest-by-digest', set.manifests)
  add(`${name}/pull`, 'blob-get', set.blobs)
  add(`${name}/delete`, 'tag-delete', set.tags)
  add(`${name}/delete`, 'manifest-delete', set.manifests)
  add(`${name}/delete`, 'blob-delete', set.blobs)
}
