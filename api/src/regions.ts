import { z } from 'zod'
import { timestamp } from './fields.ts'
import { pageOf } from './paging.ts'

export const region = z
  .object({
    id: z.string().describe('Slug.'),
    name: z.string(),
    host: z.string().describe('Host and port that docker and other clients use.'),
    createdAt: timestamp,
  })
  .meta({ id: 'Region' })

export type Region = z.output<typeof region>

export const regionPage = pageOf('RegionPage', region)
