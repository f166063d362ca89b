import type { DenialRule } from '../../access/denial.ts'

/** The values of a rule, as they were stored. */
export type RuleValues = Readonly<Record<string, unknown>>

interface RuleWords {
  readonly explanation: (values: RuleValues) => string
  /** What would have to be different; null: nothing that the caller could do. */
  readonly remedy: string | null
}

/** Every rule in words. One without does not compile. */
export const RULES: Readonly<Record<DenialRule, RuleWords>> = {
  credential_malformed: {
    explanation: () => 'What was sent as a credential is not a key or token of Berth, or was cut short.',
    remedy: 'Send the user name `api` and a whole API key as the password.',
  },
  credential_invalid: {
    explanation: ({ message }) => `The credential was not accepted: ${text(message)}`,
    remedy: 'Sign in again with a credential that is valid.',
  },
  credential_expired: {
    explanation: ({ message }) => `The credential has expired: ${text(message)}`,
    remedy: 'Get a new one.',
  },
  credential_revoked: {
    explanation: ({ message }) => `The credential is not valid any more: ${text(message)}`,
    remedy: 'Use another credential.',
  },
  key_unknown: {
    explanation: ({ keyId }) => `There is no key ${text(keyId)}.`,
    remedy: 'Check that the key belongs to this installation.',
  },
  key_secret_wrong: {
    explanation: ({ keyId }) => `The secret that was shown is not that of the key ${text(keyId)}.`,
    remedy: 'Use the whole key as it was shown once, or rotate it to get another.',
  },
  key_expired: {
    explanation: ({ expiresAt }) => `The key expired at ${time(expiresAt)}.`,
    remedy: 'Create another key.',
  },
  key_revoked: {
    explanation: ({ revokedAt }) => `The key was revoked at ${time(revokedAt)}.`,
    remedy: 'Create another key.',
  },
  key_replaced: {
    explanation: ({ shown, overlapEndedAt }) =>
      shown === 'token'
        ? 'The token was made with a secret of the key that a rotation has replaced.'
        : `The secret was replaced by a rotation, and its overlap ended at ${time(overlapEndedAt)}.`,
    remedy: 'Use the newest secret of the key.',
  },
  key_region: {
    explanation: ({ region, regions }) =>
      `The key works in ${list(regions)} only, and this is the region ${text(region)}.`,
    remedy: 'Use a key for this region, or the registry of another region.',
  },
  key_address: {
    explanation: ({ address }) => `The key may not be used from ${text(address)}: its networks leave it out.`,
    remedy: 'Create a key that allows this network, or come from one that is allowed.',
  },
  project_deleted: {
    explanation: () => 'The project of the key was deleted.',
    remedy: null,
  },
  token_invalid: {
    explanation: () => 'The token is none that this region issued, or was altered.',
    remedy: 'Get a token from the token endpoint of the same region.',
  },
  token_expired: {
    explanation: () => 'The token has expired.',
    remedy: 'Get a new one: clients do so by themselves.',
  },
  too_many_failures: {
    explanation: ({ failure }) =>
      `Too many failed attempts came from this address with this credential${failure === undefined ? '' : ` (${text(failure)})`}.`,
    remedy: 'Wait as long as Retry-After says, and use a credential that is valid.',
  },
  sign_in_needed: {
    explanation: ({ action }) => `Nobody was signed in, and "${text(action)}" is not open to everyone here.`,
    remedy: 'Sign in with `docker login`, or let the project make the repository public.',
  },
  token_only_for_uploads: {
    explanation: () =>
      'The token has expired. It still goes on with the upload that its own key began, and does nothing else.',
    remedy: 'Get a new token: clients do so by themselves.',
  },
  token_scope: {
    explanation: ({ action }) => `The token was not made for "${text(action)}" on this repository.`,
    remedy: 'Ask the token endpoint for the scope that the challenge names: clients do so by themselves.',
  },
  key_action: {
    explanation: ({ action, actions }) => `The key allows ${list(actions)}, and this needs ${text(action)}.`,
    remedy: 'Use a key whose actions include it.',
  },
  key_repository: {
    explanation: ({ path, repositories }) =>
      `The key is for the repositories ${list(repositories)}, and ${text(path)} is none of them.`,
    remedy: 'Use a key whose repositories include it.',
  },
  not_here: {
    explanation: ({ namespace, project, ownNamespace }) =>
      `The credential has no right in ${text(namespace ?? project)}${ownNamespace === undefined ? '' : `: it belongs to ${text(ownNamespace)}`}. What is there, if anything, is not for it to know.`,
    remedy: 'Check the name, or use a credential of the project that is meant.',
  },
  content_unknown: {
    explanation: () => 'The credential may read here. There is no such repository, tag or digest.',
    remedy: 'Check the name; `berth tags history` shows whether the tag was there once.',
  },
  upload_unknown: {
    explanation: () => 'No upload with this id was begun here by this credential, or it has ended.',
    remedy: 'Start the upload again: clients do so by themselves.',
  },
  quota: {
    explanation: ({ message }) => text(message),
    remedy: 'Delete something, or have an owner raise the quota.',
  },
  policy: {
    explanation: ({ message }) => text(message),
    remedy: null,
  },
  method: {
    explanation: () => 'The registry does not take this method on this path.',
    remedy: null,
  },
  role: {
    explanation: ({ role, permission, roles }) =>
      `The role ${text(role)} does not have the permission ${text(permission)}; ${list(roles)} have it.`,
    remedy: 'Ask an owner or admin of the project for another role.',
  },
  operator_only: {
    explanation: () => 'Only operators of the installation may do this.',
    remedy: 'Ask an operator.',
  },
  person_only: {
    explanation: () => 'This is about an account of one’s own, and the operator token has none.',
    remedy: 'Sign in as a person.',
  },
  step_up: {
    explanation: () => 'The call needs a fresh confirmation that it is really you, and the session has none.',
    remedy: 'Confirm in the browser, or log in again with `berth login`.',
  },
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : 'nothing'
}

function list(value: unknown): string {
  return Array.isArray(value) && value.length > 0 ? value.map(text).join(', ') : 'nothing'
}

function time(value: unknown): string {
  return typeof value === 'number' ? new Date(value).toISOString() : 'an unknown time'
}
