import type { ControlSchema } from './control-schema.ts'
import type { RegionSchema } from './region-schema.ts'

/** The tables of a database by its kind. */
export interface Schemas {
  readonly control: ControlSchema
  readonly region: RegionSchema
}
