import { OPERATOR } from './access.ts'
import type { Operation } from './operation.ts'
import { pageQuery } from './paging.ts'
import { passwordReset, personChanged, personPage, personParams, personUpdate } from './people.ts'

/** Operations on the people of the installation. */
export const PERSON_OPERATIONS = {
  'people.list': {
    method: 'GET',
    path: '/people',
    summary: 'List people',
    description: 'All who have an account, in the order in which they joined.',
    params: null,
    query: pageQuery,
    body: null,
    status: 200,
    response: personPage,
    errors: [],
    access: OPERATOR,
  },
  'people.update': {
    method: 'PATCH',
    path: '/people/{user}',
    summary: 'Make a person an operator or not, disable or enable their account',
    description:
      'Disabling ends all sessions, personal access tokens and API keys of the person’s own, and no way of signing in works any more; the call returns when no replica accepts the keys any more. One operator whose account is not disabled always stays.',
    params: personParams,
    query: null,
    body: personUpdate,
    status: 200,
    response: personChanged,
    errors: ['person_not_found', 'last_operator', 'not_everywhere_yet'],
    access: OPERATOR,
    stepUp: true,
  },
  'people.resetPassword': {
    method: 'POST',
    path: '/people/{user}/password-reset',
    summary: 'Make a link that lets a person set a new password',
    description:
      'The answer is the only one that shows the link; Berth sends no mail. It works once, for 24 hours, and ends all sessions of the person. An earlier link ends.',
    params: personParams,
    query: null,
    body: null,
    status: 201,
    response: passwordReset,
    errors: ['person_not_found', 'person_disabled'],
    access: OPERATOR,
    stepUp: true,
  },
} as const satisfies Record<string, Operation>
