import { ApiError } from '@berth/api/errors'
import { parseRepositoryGlob } from '../access/glob.ts'

/** Refuses globs that the data plane would not understand. Raises `validation_failed` naming each of them. */
export function checkGlobs(globs: readonly string[], path: string): void {
  const errors = globs.flatMap((glob, i) =>
    parseRepositoryGlob(glob) === null
      ? [{ path: `${path}.${i}`, message: 'must be a repository path; ** stands alone between slashes' }]
      : [],
  )
  if (errors.length > 0) throw new ApiError('validation_failed', undefined, { errors })
}
