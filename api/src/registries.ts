import { z } from 'zod'
import { timestamp } from './fields.ts'
import { pageOf } from './paging.ts'

export const registry = z
  .object({
    id: z.string(),
    provider: z.enum(['managed', 'docker_hub', 'ghcr', 'custom']),
    name: z.string(),
    host: z.string(),
    region: z.string().nullable().describe('Region of a managed registry, else null.'),
    address: z.string().describe("Put a repository's path behind it: `<host>/<namespace>`."),
    createdAt: timestamp,
  })
  .meta({ id: 'Registry' })

export type Registry = z.output<typeof registry>

export const registryPage = pageOf('RegistryPage', registry)
