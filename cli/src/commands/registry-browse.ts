import type { BrowsedManifest } from '@berth/api/registry-browse'
import { type Define, leaf, withListOptions, withSession } from '../command.ts'
import { findRegistry } from '../find-registry.ts'
import { formatBytes, printable } from '../format.ts'
import { note } from '../io.ts'
import { fields, show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import type { Session } from '../session.ts'

type BrowseOptions = ListOptions & { readonly search?: string }

/** `registries browse`: looks into a third-party registry with its stored login. */
export const defineRegistryBrowse: Define = (registries, io) => {
  withListOptions(
    leaf(
      registries,
      'browse <registry> [image]',
      'list the repositories of a third-party registry, the tags of one, or show an image',
    ),
  )
    .option('--search <text>', 'only repositories whose name contains this')
    .action(
      withSession<BrowseOptions>(io, async (session, [reference = '', image], options) => {
        const { id } = await findRegistry(session, reference)
        const params = { project: session.project(), registry: id }
        if (image === undefined) return browseRepositories(session, params, options)
        const { repository, reference: version } = splitImage(image)
        if (version === null) return browseTags(session, { ...params, repository }, options)
        const found = { params: { ...params, repository, reference: version } }
        show(session, await session.client.call('registries.manifest', found), describe)
      }),
    )
}

type Params = { readonly project: string; readonly registry: string }

async function browseRepositories(session: Session, params: Params, options: BrowseOptions): Promise<void> {
  const query = options.search === undefined ? {} : { q: options.search }
  const first = await session.client.call('registries.repositories', {
    params,
    query: { ...query, limit: 1 },
  })
  if (first.reason !== null && session.options.json !== true) {
    note(session.io, first.reason)
    return
  }
  const page = await readList(session.client, 'registries.repositories', { params, query }, options)
  const columns = [{ title: 'REPOSITORY', value: (row: { name: string }) => printable(row.name) }]
  showList(session, page, columns, 'There are no repositories that this login may see.')
}

async function browseTags(
  session: Session,
  params: Params & { readonly repository: string },
  options: ListOptions,
): Promise<void> {
  const page = await readList(session.client, 'registries.tags', { params }, options)
  const columns = [{ title: 'TAG', value: (row: { name: string }) => printable(row.name) }]
  showList(session, page, columns, 'The repository has no tags.')
}

/** `library/alpine`, `library/alpine:3.20` or `library/alpine@sha256:…`. */
function splitImage(image: string): { repository: string; reference: string | null } {
  const at = image.indexOf('@')
  const mark = at === -1 ? image.indexOf(':') : at
  return mark === -1
    ? { repository: image, reference: null }
    : { repository: image.slice(0, mark), reference: image.slice(mark + 1) }
}

function describe(manifest: BrowsedManifest): string[] {
  const parts = manifest.manifests.map(({ digest, platform }) => {
    const system = platform === null ? '' : [platform.os, platform.architecture, platform.variant]
    return `  ${digest}  ${printable(system === '' ? '' : system.filter((part) => part !== null).join('/'))}`
  })
  return [
    ...fields([
      ['Digest', manifest.digest],
      ['Type', printable(manifest.mediaType)],
      ['Size', formatBytes(manifest.totalBytes)],
      ...(manifest.kind === 'image' ? ([['Layers', String(manifest.layers.length)]] as const) : []),
      ['Pull', manifest.pullAddresses.map(({ address }) => `${address}@${manifest.digest}`).join(', ')],
    ]),
    ...(parts.length === 0 ? [] : ['Images:', ...parts]),
  ]
}
