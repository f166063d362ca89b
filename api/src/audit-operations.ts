import { inProject, OPERATOR } from './access.ts'
import { auditEvent, auditExportQuery, auditVerification, auditVerificationQuery } from './audit-events.ts'
import type { Operation } from './operation.ts'
import { projectParams } from './projects.ts'

const VERIFICATION =
  'Checks some thousand events a call: go on with `continuation` until it is null. Each event holds the hash of the one before it, so what was altered, removed, inserted or moved is found, and where.'

/** Operations on the audit log, besides its lists. */
export const AUDIT_OPERATIONS = {
  'auditEvents.export': {
    method: 'GET',
    path: '/projects/{project}/audit-events/export',
    summary: "Export a project's audit events",
    description: 'Oldest first, one JSON object a line, of the control plane and all regions.',
    params: projectParams,
    query: auditExportQuery,
    body: null,
    status: 200,
    response: auditEvent,
    stream: true,
    errors: ['project_not_found', 'region_not_found'],
    access: inProject('audit.export'),
  },
  'auditEvents.exportAll': {
    method: 'GET',
    path: '/audit-events/export',
    summary: 'Export the audit events of the installation',
    description: 'Oldest first, one JSON object a line, of all projects, the control plane and all regions.',
    params: null,
    query: auditExportQuery,
    body: null,
    status: 200,
    response: auditEvent,
    stream: true,
    errors: ['region_not_found'],
    access: OPERATOR,
  },
  'auditEvents.verify': {
    method: 'GET',
    path: '/projects/{project}/audit-events/verification',
    summary: "Verify a project's audit log",
    description: VERIFICATION,
    params: projectParams,
    query: auditVerificationQuery,
    body: null,
    status: 200,
    response: auditVerification,
    errors: ['project_not_found'],
    access: inProject('audit.read'),
  },
  'auditEvents.verifyAll': {
    method: 'GET',
    path: '/audit-events/verification',
    summary: 'Verify the audit log of the installation',
    description: VERIFICATION,
    params: null,
    query: auditVerificationQuery,
    body: null,
    status: 200,
    response: auditVerification,
    errors: [],
    access: OPERATOR,
  },
} as const satisfies Record<string, Operation>
