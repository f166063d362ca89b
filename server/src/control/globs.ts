import { ApiError } from '@berth/api/errors'
import { parseRepositoryName } from '@berth/oci/name'
import { parseRepositoryGlob } from '../access/glob.ts'

/**
 * Refuses globs that the data plane would not understand, and those that no repository can match, such as `../*`.
 * Raises `validation_failed` naming each of them.
 */
export function checkGlobs(globs: readonly string[], path: string): void {
  const errors = globs.flatMap((glob, i) => {
    const message = mistakeOf(glob)
    return message === null ? [] : [{ path: `${path}.${i}`, message }]
  })
  if (errors.length > 0) throw new ApiError('validation_failed', undefined, { errors })
}

function mistakeOf(glob: string): string | null {
  if (parseRepositoryGlob(glob) === null) {
    return 'must be a repository path; ** stands alone between slashes'
  }
  // A letter is the most that a star can do for what stands around it.
  const matched = parseRepositoryName(glob.replaceAll(/\*+/g, 'a'))
  return matched === null ? 'matches no repository: no path can look like this' : null
}
