import { ApiError } from '@berth/api/errors'
import type { DeletionRefusal } from '../../metastore/queries/delete-manifest.ts'

/** Why something cannot be deleted: `manifest_in_use`, `image_in_use` or `tag_immutable`. */
export function deletionRefusal(refusal: DeletionRefusal): ApiError {
  switch (refusal.reason) {
    case 'referenced':
      return new ApiError(
        'manifest_in_use',
        `The index ${refusal.manifestDigest} lists it. Delete that first.`,
      )
    case 'held':
      return new ApiError('image_in_use', `The image is in use: ${refusal.heldBy}.`)
    case 'immutable_tag':
      return immutableTag(refusal.tag)
  }
}

/** `tag_immutable` for one tag. */
export function immutableTag(tag: string): ApiError {
  return new ApiError(
    'tag_immutable',
    `The tag "${tag}" is immutable by a rule of the project: it is never moved or deleted.`,
  )
}
