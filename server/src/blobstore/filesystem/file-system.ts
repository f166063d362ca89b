import type * as fsPromises from 'node:fs/promises'
import { BlobStoreError } from '../blobstore.ts'

/** The calls of `node:fs/promises` that the driver makes. Tests pass one whose n-th call fails. */
export type FileSystem = Pick<
  typeof fsPromises,
  'open' | 'mkdir' | 'opendir' | 'rename' | 'stat' | 'statfs' | 'unlink'
>

/** Whether the file or directory is not there. */
export function isMissing(error: unknown): boolean {
  return errorCode(error) === 'ENOENT'
}

/** Whether something of that name is there already. */
export function isPresent(error: unknown): boolean {
  return errorCode(error) === 'EEXIST'
}

/** Translates an error of the file system. Errors of the store itself pass through. */
export function fileError(what: string, error: unknown): BlobStoreError {
  if (error instanceof BlobStoreError) {
    return error
  }
  const code = errorCode(error)
  // EFBIG: the file would exceed the file system's or the process's limit, which no retry on this store cures either.
  const full = code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG'
  return new BlobStoreError(full ? 'full' : 'io', `${what}: ${code ?? String(error)}`, error)
}

/** Waits for `act`, translating its failure with `fileError`. */
export async function translated<T>(what: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    throw fileError(what, error)
  }
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
