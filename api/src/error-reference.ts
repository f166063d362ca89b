import { OCI_ERRORS } from '@berth/oci/errors'
import { API_ERRORS } from './errors.ts'

/** `docs/reference/errors.md`, made from the two error tables. */
export function createErrorReference(): string {
  const consoleRows = Object.entries(API_ERRORS).map(
    ([code, { status, title, description }]) => `| \`${code}\` | ${status} | ${title}. ${description} |`,
  )
  const registryRows = Object.entries(OCI_ERRORS).map(
    ([code, { status, message, description }]) => `| \`${code}\` | ${status} | ${message} | ${description} |`,
  )
  return `# Errors

This page is generated from the error tables in \`api/src/errors.ts\` and \`oci/src/errors.ts\`.

## Console API

Every error is problem details (RFC 9457) with the media type \`application/problem+json\`: \`type\`, \`title\`, \`status\`,
\`detail\`, a stable \`code\`, the \`requestId\` that finds the request in the server's log, and \`errors\`, a list of
\`{path, message}\` that names each field that is wrong. A client may meet codes that it does not know: go by the status then.

| code | status | meaning |
|---|---|---|
${consoleRows.join('\n')}

## Registry

Errors of \`/v2/\` and \`/auth/token\` have the body of the distribution spec: \`{"errors": [{"code", "message", "detail"}]}\`.

| code | status | message | when |
|---|---|---|---|
${registryRows.join('\n')}
`
}
