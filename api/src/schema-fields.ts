/** The part of JSON schema that the contract comes to. */
export interface JsonSchema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly format?: string
  readonly description?: string
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly default?: unknown
  readonly minimum?: number
  readonly maximum?: number
  readonly maxLength?: number
  readonly items?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | JsonSchema
}

/** One field of an object, or of an object inside it: `schedule.everyDays`, `images[].digest`. */
export interface Field {
  readonly path: string
  /** In Markdown, fit for a cell of a table. */
  readonly type: string
  readonly required: boolean
  readonly description: string
}

/** The heading of a named type. Other headings are nouns and sentences, so the first word keeps them apart. */
export function typeTitle(name: string): string {
  return `Type ${name}`
}

/** What a link to a heading is made from it, in Markdown as GitHub shows it. */
export function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}

/** Whether a schema has fields of its own to list. */
export function isObjectSchema(schema: JsonSchema): boolean {
  return schema.properties !== undefined
}

/** The fields of an object and of the objects inside it that have no name of their own, in the order of the contract. */
export function describeFields(schema: JsonSchema, prefix = ''): Field[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const path = prefix + name
    const required = schema.required?.includes(name) === true
    const own = { path, type: describeType(field), required, description: field.description ?? '' }
    return [own, ...variants(field).flatMap((variant) => fieldsInside(variant, path))]
  })
}

function fieldsInside(schema: JsonSchema, path: string): Field[] {
  if (schema.items !== undefined)
    return variants(schema.items).flatMap((item) => fieldsInside(item, `${path}[]`))
  return describeFields(schema, `${path}.`)
}

function variants(schema: JsonSchema): readonly JsonSchema[] {
  return schema.anyOf ?? schema.oneOf ?? [schema]
}

/** The type of a value in Markdown: a link for what has a name, else its kind, its values and its limits. */
export function describeType(schema: JsonSchema): string {
  const name = schema.$ref?.split('/').at(-1)
  if (name !== undefined) return `[${name}](#${anchorOf(typeTitle(name))})`
  const fallback = schema.default === undefined ? '' : `, default \`${JSON.stringify(schema.default)}\``
  return `${bareType(schema)}${fallback}`
}

function bareType(schema: JsonSchema): string {
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``
  if (schema.enum !== undefined)
    return schema.enum.map((value) => `\`${JSON.stringify(value)}\``).join(' or ')
  const among = schema.anyOf ?? schema.oneOf
  if (among !== undefined) return [...new Set(among.map((variant) => describeType(variant)))].join(' or ')
  const kinds = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? [])
  if (kinds.length === 0) return 'any JSON'
  return kinds.map((kind) => describeKind(kind, schema)).join(' or ')
}

function describeKind(kind: string, schema: JsonSchema): string {
  switch (kind) {
    case 'array':
      return `list of ${schema.items === undefined ? 'any JSON' : describeType(schema.items)}`
    case 'integer':
    case 'number':
      return `${kind}${describeRange(schema)}`
    case 'string':
      return describeText(schema)
    case 'object':
      return typeof schema.additionalProperties === 'object'
        ? `object with values ${describeType(schema.additionalProperties)}`
        : 'object'
    default:
      return kind
  }
}

function describeText({ format, maxLength }: JsonSchema): string {
  if (format === 'date-time') return 'time (RFC 3339)'
  const kind = format === undefined ? 'string' : `string (${format})`
  return maxLength === undefined ? kind : `${kind} of at most ${maxLength}`
}

function describeRange({ minimum, maximum }: JsonSchema): string {
  // What JSON numbers hold exactly is no limit of the contract.
  const highest = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum
  const lowest = minimum === Number.MIN_SAFE_INTEGER ? undefined : minimum
  if (lowest !== undefined && highest !== undefined) return ` from ${lowest} to ${highest}`
  if (highest !== undefined) return ` of at most ${highest}`
  return lowest === undefined ? '' : ` from ${lowest}`
}
