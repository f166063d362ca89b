import { type AccessRule, rolesWith } from './access.ts'
import { API_ERRORS, type ApiErrorCode } from './errors.ts'
import { createOpenApi } from './openapi.ts'
import { EVERYWHERE, type Operation, WITH_BODY } from './operation.ts'
import { API_PREFIX, OPERATION_IDS, OPERATIONS } from './operations.ts'
import {
  anchorOf,
  describeFields,
  describeType,
  isObjectSchema,
  type JsonSchema,
  typeTitle,
} from './schema-fields.ts'

interface DescribedOperation {
  readonly tags: readonly [string]
  readonly parameters: readonly Parameter[]
  readonly requestBody?: { readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly content: Content }>>
}

interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query'
  readonly required: boolean
  readonly description?: string
  readonly schema: JsonSchema
}

type Content = Readonly<Record<string, { readonly schema: JsonSchema }>>

interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DescribedOperation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>> }
}

/** `docs/reference/api.md`, made from the table of operations and the document that is made from it. */
export function createApiReference(): string {
  const document = createOpenApi('') as unknown as OpenApi
  const { schemas } = document.components
  const nouns = Map.groupBy(OPERATION_IDS, (id) => described(document, OPERATIONS[id]).tags[0])
  const contents = [...nouns.keys()]
    .map((noun) => `[${titleOf(noun)}](#${anchorOf(titleOf(noun))})`)
    .join(' · ')
  const sections = [...nouns].map(([noun, ids]) => {
    const operations = ids.map((id) => describeOperation(id, OPERATIONS[id], document))
    return `## ${titleOf(noun)}\n\n${operations.join('\n\n')}`
  })
  const types = Object.keys(schemas).map((name) => describeComponent(name, schemas))
  return `${introduction()}

${contents} · [Types](#types)

${sections.join('\n\n')}

## Types

What answers consist of. A later version may add fields to them: ignore those that you do not know.

${types.join('\n\n')}
`
}

/** `personalTokens`: Personal tokens. */
function titleOf(noun: string): string {
  const words = noun.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
  return words.charAt(0).toUpperCase() + words.slice(1)
}

function introduction(): string {
  return `# Console API

This page is generated from the contract in \`api/src/operations.ts\`; \`api/openapi.json\` says the same to programs.

Paths are below the console's address. Send \`Authorization: Bearer <token>\` with the operator token, a personal access token, or the
token of a session. Bodies and answers are JSON. Lists answer a page: pass \`nextCursor\` on as \`cursor\` until it is null.

To people without a role in a project it does not exist: what is named after a permission answers 404 then. Operators may do everything
that needs a role. *Fresh confirmation*: a session must have been confirmed by password, passkey or single sign-on in the
last minutes, else the answer is \`step_up_required\`.

## Errors of every operation

[Errors](errors.md) says what each code means and what the body is. Each operation lists its own; besides those it may answer:

${errorTable(EVERYWHERE)}

and with a body:

${errorTable(WITH_BODY)}`
}

function described(document: OpenApi, { path, method }: Operation): DescribedOperation {
  const found = document.paths[API_PREFIX + path]?.[method.toLowerCase()]
  if (found === undefined) throw new Error(`${method} ${path} is not in the document`)
  return found
}

function describeOperation(id: string, operation: Operation, document: OpenApi): string {
  const { method, path, summary, description, status, stream, stepUp } = operation
  const { parameters, requestBody, responses } = described(document, operation)
  const answer = Object.values(responses[status]?.content ?? {})[0]?.schema ?? {}
  const body = requestBody?.content['application/json']?.schema
  const confirmation = stepUp === true ? ' Needs a fresh confirmation.' : ''
  const parts = [
    `### ${summary}`,
    `\`${method} ${API_PREFIX}${path}\` (\`${id}\`)`,
    ...(description === undefined ? [] : [description]),
    `Allowed to: ${describeAccess(operation.access)}.${confirmation}`,
    ...(parameters.length === 0 ? [] : [parameterTable(parameters)]),
    ...(body === undefined ? [] : [describeBody(body, document.components.schemas)]),
    `Answers ${status}${stream === true ? ', one JSON object a line' : ''}: ${describeType(answer)}`,
    ...(operation.errors.length === 0 ? [] : ['Errors:', errorTable(operation.errors)]),
  ]
  return parts.join('\n\n')
}

function describeAccess(access: AccessRule): string {
  switch (access.kind) {
    case 'signed_in':
      return 'whoever is signed in'
    case 'person':
      return 'each person, about what is theirs; not with the operator token, which has no account'
    case 'project_creation':
      return 'whoever may create projects (`BERTH_PROJECT_CREATION`)'
    case 'operator':
      return 'operators of the installation'
    case 'project':
      return `\`${access.permission}\` in the project (${rolesWith(access.permission).join(', ')})`
  }
}

function parameterTable(parameters: readonly Parameter[]): string {
  const rows = parameters.map(
    ({ name, in: place, required, schema, description = '' }) =>
      `| \`${name}\` | ${place}${required ? '' : ', optional'} | ${describeType(schema)} | ${cell(description)} |`,
  )
  return ['| parameter | in | type | |', '|---|---|---|---|', ...rows].join('\n')
}

function describeBody(schema: JsonSchema, schemas: OpenApi['components']['schemas']): string {
  const name = schema.$ref?.split('/').at(-1)
  const own = name === undefined ? schema : (schemas[name] ?? schema)
  return isObjectSchema(own) ? `Body:\n\n${fieldTable(own)}` : `Body: ${describeType(own)}`
}

function describeComponent(name: string, schemas: OpenApi['components']['schemas']): string {
  const schema = schemas[name] ?? {}
  const description = schema.description === undefined ? [] : [schema.description]
  const content = isObjectSchema(schema) ? fieldTable(schema) : describeType(schema)
  return [`### ${typeTitle(name)}`, ...description, content].join('\n\n')
}

function fieldTable(schema: JsonSchema): string {
  const fields = describeFields(schema)
  if (fields.length === 0) return 'No fields.'
  const rows = fields.map(
    ({ path, type, required, description }) =>
      `| \`${path}\` | ${type}${required ? '' : ', optional'} | ${cell(description)} |`,
  )
  return ['| field | type | |', '|---|---|---|', ...rows].join('\n')
}

function errorTable(codes: readonly ApiErrorCode[]): string {
  const rows = codes.map(
    (code) => `| \`${code}\` | ${API_ERRORS[code].status} | ${API_ERRORS[code].title}. |`,
  )
  return ['| code | status | |', '|---|---|---|', ...rows].join('\n')
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}
