import type { HandlersOf } from '../handler.ts'
import { readAllAuditEvents, readAuditPage } from './read-events.ts'
import { verifyAudit } from './verify.ts'

export const auditEventHandlers: HandlersOf<
  | 'auditEvents.list'
  | 'auditEvents.listAll'
  | 'auditEvents.export'
  | 'auditEvents.exportAll'
  | 'auditEvents.verify'
  | 'auditEvents.verifyAll'
> = {
  'auditEvents.list': ({ runtime, project }, { query }) => readAuditPage(runtime, project.id, query),
  'auditEvents.listAll': ({ runtime }, { query }) => readAuditPage(runtime, null, query),
  'auditEvents.export': async ({ runtime, project, signal }, { query }) =>
    readAllAuditEvents(runtime, project.id, query, signal),
  'auditEvents.exportAll': async ({ runtime, signal }, { query }) =>
    readAllAuditEvents(runtime, null, query, signal),
  'auditEvents.verify': ({ runtime, project }, { query }) => verifyAudit(runtime, project.id, query),
  'auditEvents.verifyAll': ({ runtime }, { query }) => verifyAudit(runtime, null, query),
}
