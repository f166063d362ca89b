/** Where CI tokens come from. `custom` is any other issuer. */
export type CiProvider = 'github_actions' | 'gitlab_ci' | 'circleci' | 'custom'

/** What is known of one provider's tokens. */
export interface CiProviderFacts {
  /** Claims of which a rule must name one: ids that no rename and no new owner of a name can bring to another. */
  readonly idClaims: readonly string[]
  /** Claims that a rule may name; null: any but those of the token itself (`TOKEN_CLAIMS`). */
  readonly claims: readonly string[] | null
  /** Claims in which a rule may use one `*` (within a path component) or `**`. */
  readonly globClaims: readonly string[]
  /** Claims that hold lists: one entry has to be what the rule names. */
  readonly listClaims: readonly string[]
  /** Claims that say which job it is, for the audit log. */
  readonly jobClaims: readonly string[]
}

/** Claims about the token, not about the job: a rule never names them as conditions. */
export const TOKEN_CLAIMS: readonly string[] = ['iss', 'aud', 'exp', 'nbf', 'iat', 'jti']

/** The providers, by name. */
export const CI_PROVIDERS: Readonly<Record<CiProvider, CiProviderFacts>> = {
  github_actions: {
    idClaims: ['repository_id'],
    claims: [
      'repository_id',
      'repository_owner_id',
      'repository_visibility',
      'ref',
      'ref_type',
      'environment',
      'workflow_ref',
      'job_workflow_ref',
      'event_name',
      'actor_id',
      'runner_environment',
    ],
    globClaims: ['ref'],
    listClaims: [],
    jobClaims: [
      'repository',
      'repository_id',
      'ref',
      'sha',
      'workflow_ref',
      'environment',
      'event_name',
      'actor',
      'run_id',
      'run_attempt',
    ],
  },
  gitlab_ci: {
    idClaims: ['project_id'],
    claims: [
      'project_id',
      'namespace_id',
      'ref',
      'ref_type',
      'ref_protected',
      'environment',
      'environment_protected',
      'deployment_tier',
      'pipeline_source',
      'user_id',
      'runner_environment',
    ],
    globClaims: ['ref'],
    listClaims: [],
    jobClaims: [
      'project_path',
      'project_id',
      'ref',
      'ref_type',
      'ref_protected',
      'sha',
      'environment',
      'pipeline_source',
      'user_login',
      'pipeline_id',
      'job_id',
    ],
  },
  circleci: {
    idClaims: ['oidc.circleci.com/project-id'],
    claims: [
      'oidc.circleci.com/project-id',
      'oidc.circleci.com/context-ids',
      'oidc.circleci.com/pipeline-definition-id',
      'oidc.circleci.com/vcs-origin',
      'oidc.circleci.com/vcs-ref',
      'oidc.circleci.com/ssh-rerun',
    ],
    globClaims: ['oidc.circleci.com/vcs-ref'],
    listClaims: ['oidc.circleci.com/context-ids'],
    jobClaims: [
      'sub',
      'oidc.circleci.com/project-id',
      'oidc.circleci.com/vcs-origin',
      'oidc.circleci.com/vcs-ref',
      'oidc.circleci.com/pipeline-id',
      'oidc.circleci.com/job-id',
    ],
  },
  custom: {
    idClaims: [],
    claims: null,
    globClaims: [],
    listClaims: [],
    jobClaims: ['sub', 'build_number'],
  },
}

/** Whether the name is that of a provider. */
export function isCiProvider(name: string): name is CiProvider {
  return Object.hasOwn(CI_PROVIDERS, name)
}
