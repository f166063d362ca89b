import { inProject } from './access.ts'
import type { Operation } from './operation.ts'
import {
  policies,
  policiesUpdate,
  retentionPreviewPage,
  retentionPreviewQuery,
  retentionReport,
  retentionRun,
  retentionStatus,
} from './policies.ts'
import { projectParams } from './projects.ts'
import { regionPageQuery, repositoryParams } from './repositories.ts'
import { trashPage, trashPurge, trashPurged } from './trash.ts'

/** Operations on what a project keeps of its images. */
export const HOUSEKEEPING_OPERATIONS = {
  'policies.show': {
    method: 'GET',
    path: '/projects/{project}/policies',
    summary: 'Show the rules about images',
    params: projectParams,
    query: null,
    body: null,
    status: 200,
    response: policies,
    errors: ['project_not_found'],
    access: inProject('policies.read'),
  },
  'policies.update': {
    method: 'PATCH',
    path: '/projects/{project}/policies',
    summary: 'Change the rules about images',
    description:
      'Only the fields that are sent change, each as a whole. Returns when the rules are in force on every replica of every region. What retention rules remove goes within the next hour, and then daily: look at the preview first.',
    params: projectParams,
    query: null,
    body: policiesUpdate,
    status: 200,
    response: policies,
    errors: ['project_not_found', 'not_everywhere_yet'],
    access: inProject('policies.manage'),
    stepUp: true,
  },
  'retention.status': {
    method: 'GET',
    path: '/projects/{project}/retention',
    summary: 'Show the newest run of the retention rules',
    params: projectParams,
    query: null,
    body: null,
    status: 200,
    response: retentionStatus,
    errors: ['project_not_found'],
    access: inProject('policies.read'),
  },
  'retention.preview': {
    method: 'GET',
    path: '/projects/{project}/retention/preview',
    summary: 'List what the retention rules keep and remove, and why',
    description:
      'Region by region and repository by repository: tags by name, then manifests without a tag. As of now; removes nothing. A page may have fewer entries than asked for and still be followed by another.',
    params: projectParams,
    query: retentionPreviewQuery,
    body: null,
    status: 200,
    response: retentionPreviewPage,
    errors: ['project_not_found', 'region_not_found'],
    access: inProject('policies.read'),
  },
  'retention.run': {
    method: 'POST',
    path: '/projects/{project}/retention/runs',
    summary: 'Apply the retention rules now',
    description:
      'Or say what that would remove and free. Returns when it is done. What is removed goes to the trash and can be restored.',
    params: projectParams,
    query: null,
    body: retentionRun,
    status: 200,
    response: retentionReport,
    errors: ['project_not_found', 'region_not_found', 'retention_running'],
    access: inProject('policies.manage'),
    stepUp: true,
  },
  'trash.list': {
    method: 'GET',
    path: '/projects/{project}/repositories/{repository}/trash',
    summary: 'List what of a repository is in the trash',
    description: 'Deleted manifests with the tags that they had, by digest. Restore one with `undelete`.',
    params: repositoryParams,
    query: regionPageQuery,
    body: null,
    status: 200,
    response: trashPage,
    errors: ['project_not_found', 'region_not_found', 'repository_not_found', 'region_ambiguous'],
    access: inProject('content.read'),
  },
  'trash.purge': {
    method: 'POST',
    path: '/projects/{project}/trash/purge',
    summary: "Empty a project's trash now",
    description:
      'Nothing of it can be restored any more, and its bytes are free when the call returns, but for those that `trashBytes` tells of.',
    params: projectParams,
    query: null,
    body: trashPurge,
    status: 200,
    response: trashPurged,
    errors: ['project_not_found', 'region_not_found', 'confirmation_required', 'gc_running'],
    access: inProject('content.delete'),
    stepUp: true,
  },
} as const satisfies Record<string, Operation>
