import type { Registry } from '@berth/api/registries'
import { CliError } from './cli-error.ts'
import { readList } from './paging.ts'
import type { Session } from './session.ts'

/** A registry of the project by its slug, its region, or its id. */
export async function findRegistry(session: Session, reference: string): Promise<Registry> {
  const params = { project: session.project() }
  const { items } = await readList(session.client, 'registries.list', { params }, { all: true })
  const found =
    items.find(({ slug }) => slug === reference) ??
    items.find(({ region }) => region === reference) ??
    items.find(({ id }) => id === reference)
  if (found !== undefined) return found
  throw new CliError(
    'notFound',
    `There is no registry "${reference}" in the project.`,
    'Name it by its slug, its region or its id; see which there are: berth registries list',
  )
}
