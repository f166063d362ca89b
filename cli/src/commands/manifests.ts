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
              { title: 'DIGEST', value: (row) => shortDigest(row.digest) },
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
  ).action(
    withSession<RegionOptions>(io, async (session, [name = ''], options) => {
      const image = parseDigestName(name)
      const what = `This deletes ${image.repository}@${shortDigest(image.reference)} and all its tags.`
      await confirmByName(session, what, image.repository)
      const params = { project: session.project(), ...image }
      const deleted = await session.client.call('manifests.delete', { params, query: inRegion(options) })
      show(session, deleted, () => [
        `Deleted ${shortDigest(deleted.digest)}${deleted.deletedTags.length === 0 ? '' : ` and its tags ${deleted.deletedTags.join(', ')}`}.`,
        `Until ${deleted.purgeAt} it can be restored: berth manifests undelete ${name}`,
      ])
    }),
  )

  withRegion(leaf(manifests, 'undelete <repository@digest>', 'take a manifest out of the trash')).action(
    withSession<RegionOptions>(io, async (session, [name = ''], options) => {
      const params = { project: session.project(), ...parseDigestName(name) }
      const restored = await session.client.call('manifests.undelete', { params, query: inRegion(options) })
      show(session, restored, () => [
        `${name} is back. Its tags are restored one by one: berth tags undelete.`,
      ])
    }),
  )
}

const REFERRER_COLUMNS = [
  { title: 'DIGEST', value: (row: { digest: string }) => shortDigest(row.digest) },
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

type Descriptors = ManifestDetail['layers']

function descriptorTable(descriptors: Descriptors): string[] {
  if (descriptors.length === 0) return []
  return renderTable<Descriptors[number]>(
    [
      { title: 'DIGEST', value: (row) => shortDigest(row.digest) },
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
