import { randomUUID } from 'node:crypto'
import { OciError, renderOciErrors } from '@berth/oci/errors'
import { COMMON_HEADERS, NO_STORE } from './headers.ts'

/** Words what the listener refuses as an error of the distribution spec. */
export function renderRegistryRefusal({ status, message }: { status: number; message: string }) {
  return {
    status,
    headers: {
      ...COMMON_HEADERS,
      ...NO_STORE,
      'X-Request-Id': randomUUID(),
      'Content-Type': 'application/json',
    },
    body: JSON.stringify(renderOciErrors(new OciError('UNSUPPORTED', message, { status }))),
  }
}
