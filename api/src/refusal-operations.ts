import { SIGNED_IN } from './access.ts'
import type { Operation } from './operation.ts'
import { refusal, refusalParams } from './refusals.ts'

/** Explanations of refused requests. */
export const REFUSAL_OPERATIONS = {
  'refusals.explain': {
    method: 'GET',
    path: '/refusals/{requestId}',
    summary: 'Explain why a request was refused',
    description:
      'By the request id that the refusal carried (`X-Request-Id`, `requestId`). Refusals are kept for some days. Shown to operators, to whoever made the request, and to those who may read the audit log of the project that the credential belongs to.',
    params: refusalParams,
    query: null,
    body: null,
    status: 200,
    response: refusal,
    errors: ['refusal_not_found'],
    access: SIGNED_IN,
  },
} as const satisfies Record<string, Operation>
