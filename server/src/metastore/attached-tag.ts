const ATTACHED_TAG = /^(sha256|sha512)-([0-9a-f]{64}|[0-9a-f]{128})(\.[A-Za-z0-9_-]+)?$/

/**
 * The digest that a tag such as `sha256-<hex>.sig` belongs to: how clients attach signatures and the like where they
 * do not use a subject (distribution spec, "Referrers Tag Schema"; cosign). Null for every other tag. Such a tag is
 * bookkeeping of a client, not a version of an image: it lives as long as what it belongs to.
 */
export function subjectOfAttachedTag(tag: string): string | null {
  const match = ATTACHED_TAG.exec(tag)
  return match === null ? null : `${match[1]}:${match[2]}`
}

/** What every attached tag of a digest begins with; after it the tag ends, or goes on with a dot. */
export function attachedTagPrefix(digest: string): string {
  return digest.replace(':', '-')
}
