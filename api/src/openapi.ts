import { z } from 'zod'
import { API_ERRORS, type ApiErrorCode } from './errors.ts'
import { EVERYWHERE, NDJSON_MEDIA_TYPE, type Operation, WITH_BODY } from './operation.ts'
import { API_PREFIX, OPERATION_IDS, OPERATIONS } from './operations.ts'
import { PROBLEM_MEDIA_TYPE, problem } from './problem.ts'

type Json = Record<string, unknown>

const SCHEMAS_PATH = '#/components/schemas/'

/** The OpenAPI 3.1 document of the console, made from the table of operations alone. */
export function createOpenApi(version: string): Json {
  const components: Record<string, Json> = {}
  const toSchema = (schema: z.ZodType, io: 'input' | 'output') => schemaOf(schema, io, components)
  const paths: Record<string, Json> = {}
  for (const id of OPERATION_IDS) {
    const operation: Operation = OPERATIONS[id]
    const methods = (paths[API_PREFIX + operation.path] ??= {})
    methods[operation.method.toLowerCase()] = describeOperation(id, operation, toSchema)
  }
  const problemSchema = toSchema(problem, 'output')
  return {
    openapi: '3.1.0',
    info: {
      title: 'Berth console API',
      version,
      description:
        'Manages projects, keys and what registries hold. Errors are RFC 9457 problem details with a stable code. Lists take `limit` and `cursor`.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      responses: problemResponses(problemSchema),
      schemas: sortKeys(components),
    },
  }
}

type ToSchema = (schema: z.ZodType, io: 'input' | 'output') => Json

function describeOperation(id: string, operation: Operation, toSchema: ToSchema): Json {
  const { summary, description, access, body } = operation
  return {
    operationId: id,
    tags: [id.includes('.') ? id.slice(0, id.indexOf('.')) : 'session'],
    summary,
    ...(description === undefined ? {} : { description }),
    'x-access': access.kind === 'project' ? access.permission : access.kind,
    parameters: [
      ...parametersOf(operation.params, 'path', toSchema),
      ...parametersOf(operation.query, 'query', toSchema),
    ],
    ...(body === null
      ? {}
      : { requestBody: { content: { 'application/json': { schema: toSchema(body, 'input') } } } }),
    responses: {
      [operation.status]: {
        description: 'Done.',
        content: {
          [operation.stream === true ? NDJSON_MEDIA_TYPE : 'application/json']: {
            schema: toSchema(operation.response, 'output'),
          },
        },
      },
      ...errorResponses(operation),
    },
  }
}

/** All codes that an operation may answer, in the order of the error table. */
export function errorCodesOf(operation: Operation): ApiErrorCode[] {
  const possible = new Set<ApiErrorCode>([
    ...EVERYWHERE,
    ...(operation.body === null ? [] : WITH_BODY),
    ...operation.errors,
  ])
  return (Object.keys(API_ERRORS) as ApiErrorCode[]).filter((code) => possible.has(code))
}

function errorResponses(operation: Operation): Json {
  const byStatus = Map.groupBy(errorCodesOf(operation), (code) => API_ERRORS[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      status,
      codes.length === 1
        ? { $ref: `#/components/responses/${codes[0]}` }
        : {
            description: codes.map((code) => `\`${code}\`: ${API_ERRORS[code].title}.`).join(' '),
            content: { [PROBLEM_MEDIA_TYPE]: { schema: { $ref: `${SCHEMAS_PATH}Problem` } } },
          },
    ]),
  )
}

function problemResponses(schema: Json): Json {
  return Object.fromEntries(
    Object.entries(API_ERRORS).map(([code, { title, description }]) => [
      code,
      { description: `${title}. ${description}`, content: { [PROBLEM_MEDIA_TYPE]: { schema } } },
    ]),
  )
}

function parametersOf(schema: z.ZodObject | null, place: 'path' | 'query', toSchema: ToSchema): Json[] {
  if (schema === null) return []
  return Object.entries(schema.shape as Record<string, z.ZodType>).map(([name, field]) => {
    const { description, ...rest } = toSchema(field, 'input')
    return {
      name,
      in: place,
      required: place === 'path' || !field.safeParse(undefined).success,
      ...(description === undefined ? {} : { description }),
      schema: rest,
    }
  })
}

/** One JSON schema; named parts go to the components and are referred to. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output', components: Record<string, Json>): Json {
  const {
    $schema: _,
    $defs,
    ...own
  } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    reused: 'inline',
  }) as Json
  for (const [name, definition] of Object.entries(($defs ?? {}) as Record<string, Json>)) {
    const { id: _id, ...rest } = definition
    components[name] = polish(rest, io) as Json
  }
  const { id, ...rest } = own
  if (typeof id !== 'string') return polish(rest, io) as Json
  components[id] = polish(rest, io) as Json
  return { $ref: SCHEMAS_PATH + id }
}

/** Points references at the components, and leaves answers open: a later version may add fields to them. */
function polish(value: unknown, io: 'input' | 'output'): unknown {
  if (Array.isArray(value)) return value.map((entry) => polish(entry, io))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(
    ([key, entry]) => !(io === 'output' && key === 'additionalProperties' && entry === false),
  )
  return Object.fromEntries(
    entries.map(([key, entry]) => [
      key,
      key === '$ref' && typeof entry === 'string'
        ? entry.replace('#/$defs/', SCHEMAS_PATH)
        : polish(entry, io),
    ]),
  )
}

function sortKeys(record: Record<string, Json>): Record<string, Json> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)))
}
