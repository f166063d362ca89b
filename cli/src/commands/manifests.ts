import type { ManifestDetail } from '@berth/api/manifests'
import { type Define, leaf, withListOptions, withRegion, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { formatBytes, formatRelative, shortDigest } from '../format.ts'
import { parseDigestName, parseImageName } from '../image-name.ts'
import { fields, show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import { inRegion, type RegionOptions } from '../region-option.ts'
import { renderTable } from '../table.ts'

/** `manifests …` */
export const defineManifests: Define = (parent, io) => {
  const manifests = parent
    .command('manifests')
    .description('manifests: images, indexes and artifacts by digest')

  withRegion(withListOptions(leaf(manifests, 'list <repository>', 'list manifests')))
    .option('--trashed', 'those in the trash, which can be restored')
    .action(
      withSession<ListOptions & RegionOptions & { trashed?: boolean }>(
        io,
        async (session, [repository = ''], options) => {
          const state = options.trashed === true ? ('trashed' as const) : ('live' as const)
          const params = { project: session.project(), repository }
          const input = { params, query: { ...inRegion(options), state } }
          showList(
            session,
            await readList(session.client, 'manifests.list', input, options),
            [
              { title: 'DIGEST', value: (row) => row.digest },
              { title: 'KIND', value: (row) => row.kind },
              { title: 'TAGS', value: (row) => row.tags.join(','), shrink: true },
              { title: 'CREATED', value: (row) => formatRelative(row.createdAt, io.nowMs()) },
              { title: 'TYPE', value: (row) => row.artifactType ?? row.mediaType, shrink: true },
              ...(state === 'trashed'
                ? [
                    {
                      title: 'GONE',
                      value: (row: { purgeAt: string | null }) => formatRelative(row.purgeAt, io.nowMs()),
                    },
                  ]
                : []),
            ],
            'There are no manifests.',
          )
        },
      ),
    )

  withRegion(leaf(manifests, 'show <image>', 'show <repository>:<tag> or <repository>@<digest>')).action(
    withSession<RegionOptions>(io, async (session, [name = ''], options) => {
      const params = { project: session.project(), ...parseImageName(name) }
      const found = await session.client.call('manifests.show', { params, query: inRegion(options) })
      show(session, found, (manifest) => describeManifest(manifest, io.nowMs()))
    }),
  )

  withRegion(
    withListOptions(leaf(manifests, 'referrers <repository@digest>', 'list signatures, SBOMs and the like')),
  ).action(
    withSession<ListOptions & RegionOptions>(io, async (session, [name = ''], options) => {
      const params = { project: session.project(), ...parseDigestName(name) }
      showList(
        session,
        await readList(session.client, 'manifests.referrers', { params, query: inRegion(options) }, options),
        REFERRER_COLUMNS,
        'Nothing refers to it.',
      )
    }),
  )
  defineManifestDeletion(manifests, io)
}

/** Deleting manifests and getting them back. */
const defineManifestDeletion: Define = (manifests, io) => {
  withRegion(
    leaf(manifests, 'delete <repository@digest>', 'put a manifest into the trash and remove its tags'),
  )
    .option('--with-parts', 'also what only it needs: the images of an index, signatures, SBOMs')
    .action(
      withSession<RegionOptions & { withParts?: boolean }>(io, async (session, [name = ''], options) => {
        const image = parseDigestName(name)
        const params = { project: session.project(), ...image }
        const query = inRegion(options)
        const { frees, tags } = await session.client.call('manifests.show', { params, query })
        const withParts = options.withParts === true
        await confirmByName(session, deletionText(image, tags, frees, withParts), image.repository)
        const parts = withParts ? ('delete' as const) : ('keep' as const)
        const deleted = await session.client.call('manifests.delete', { params, query: { ...query, parts } })
        const along = deleted.deletedParts.length
        show(session, deleted, () => [
          `Deleted ${shortDigest(deleted.digest)}${along === 0 ? '' : `, ${along} parts`}${deleted.deletedTags.length === 0 ? '' : ` and the tags ${deleted.deletedTags.join(', ')}`}.`,
          `Until ${deleted.purgeAt} it can be restored: berth trash restore ${name}`,
        ])
      }),
    )

  withRegion(leaf(manifests, 'undelete <repository@digest>', 'take a manifest out of the trash')).action(
    withSession<RegionOptions>(io, async (session, [name = ''], options) => {
      const params = { project: session.project(), ...parseDigestName(name) }
      const restored = await session.client.call('manifests.undelete', { params, query: inRegion(options) })
      show(session, restored, ({ tags }) => [
        `${name} is back${tags.length === 0 ? ', without tags' : ` with ${tags.join(', ')}`}.`,
      ])
    }),
  )
}

function deletionText(
  { repository, reference }: { readonly repository: string; readonly reference: string },
  tags: readonly string[],
  { bytes, withPartsBytes, parts }: ManifestDetail['frees'],
  withParts: boolean,
): string {
  const name = `${repository}@${shortDigest(reference)}`
  const tagText = tags.length === 0 ? '' : ` and its tags ${tags.join(', ')}`
  if (withParts) {
    return `This deletes ${name}${tagText} with ${parts} parts, and frees ${formatBytes(withPartsBytes)}.`
  }
  const more = parts === 0 ? '' : ` With --with-parts: ${formatBytes(withPartsBytes)}.`
  return `This deletes ${name}${tagText}, and frees ${formatBytes(bytes)}.${more}`
}

const REFERRER_COLUMNS = [
  { title: 'DIGEST', value: (row: { digest: string }) => row.digest },
  {
    title: 'TYPE',
    value: (row: { artifactType: string | null; mediaType: string }) => row.artifactType ?? row.mediaType,
    shrink: true,
  },
]

function describeManifest(manifest: ManifestDetail, nowMs: number): string[] {
  const { imageConfig, referrers } = manifest
  return [
    ...fields([
      ['Digest', manifest.digest],
      ['Address', manifest.address],
      ['Type', manifest.mediaType],
      ...optional('Artifact', manifest.artifactType),
      ...optional('Subject', manifest.subject),
      ['Size', formatBytes(manifest.totalBytes)],
      ['Created', formatRelative(manifest.createdAt, nowMs)],
      ['Last pull', formatRelative(manifest.lastPulledAt, nowMs)],
      ...optional('In use by', manifest.heldBy.join(', ') || null),
      ['Freed if deleted', freedText(manifest)],
      ...optional('In the trash until', manifest.purgeAt),
      ...optional('Tags', manifest.tags.join(', ') || null),
      ...optional('Platform', platformText(imageConfig?.platform ?? null)),
      ...optional('Built', imageConfig?.createdAt ?? null),
      ...optional(
        'Command',
        [...(imageConfig?.entrypoint ?? []), ...(imageConfig?.command ?? [])].join(' ') || null,
      ),
      ...Object.entries(manifest.annotations ?? {}),
    ]),
    ...section('Layers', descriptorTable(manifest.layers)),
    ...section('Manifests', descriptorTable(manifest.manifests)),
    ...section(
      'Referrers',
      referrers.items.length === 0 ? [] : renderTable(REFERRER_COLUMNS, referrers.items, null),
    ),
  ]
}

function freedText({ frees }: ManifestDetail): string {
  const alone = formatBytes(frees.bytes)
  return frees.parts === 0
    ? alone
    : `${alone}; ${formatBytes(frees.withPartsBytes)} with the ${frees.parts} manifests that only it needs`
}

type Descriptors = ManifestDetail['layers']

function descriptorTable(descriptors: Descriptors): string[] {
  if (descriptors.length === 0) return []
  return renderTable<Descriptors[number]>(
    [
      { title: 'DIGEST', value: (row) => row.digest },
      { title: 'SIZE', value: (row) => formatBytes(row.sizeBytes), align: 'right' },
      { title: 'PLATFORM', value: (row) => platformText(row.platform) ?? '' },
      { title: 'TYPE', value: (row) => row.mediaType },
    ],
    descriptors,
    null,
  )
}

function platformText(platform: Descriptors[number]['platform']): string | null {
  if (platform === null) return null
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== null).join('/')
}

function optional(name: string, value: string | null): [string, string][] {
  return value === null ? [] : [[name, value]]
}

function section(title: string, lines: string[]): string[] {
  return lines.length === 0 ? [] : ['', `${title}:`, ...lines.map((line) => `  ${line}`)]
}
