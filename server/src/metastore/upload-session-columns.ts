import type { UploadSessionRow } from './session-store.ts'

/** The columns of an upload session, in the order in which both drivers write them. */
export const UPLOAD_SESSION_COLUMNS = [
  'id',
  'project_id',
  'repository_path',
  'credential_id',
  'algorithm',
  'offset_bytes',
  'digest_so_far',
  'reserved_bytes',
  'claimed_by',
  'claimed_until',
  'created_at',
  'expires_at',
  'storage_state',
  'pending',
] as const satisfies readonly (keyof UploadSessionRow)[]

/** A row's values in that order. */
export function uploadSessionValues(row: UploadSessionRow): unknown[] {
  return UPLOAD_SESSION_COLUMNS.map((column) => row[column])
}
