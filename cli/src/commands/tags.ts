import type { TagDetail } from '@berth/api/tags'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, withListOptions, withRegion, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { formatBytes, formatRelative, shortDigest } from '../format.ts'
import { parseTagName } from '../image-name.ts'
import { fields, show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import { inRegion, type RegionOptions } from '../region-option.ts'

/** `tags …` */
export const defineTags: Define = (parent, io) => {
  const tags = parent.command('tags').description('tags, their history, and how to get them back')

  withRegion(withListOptions(leaf(tags, 'list <repository>', 'list tags')))
    .option('--prefix <prefix>', 'only those whose name starts with this')
    .action(
      withSession<ListOptions & RegionOptions & { prefix?: string }>(
        io,
        async (session, [repository = ''], options) => {
          const { prefix } = options
          const query = { ...inRegion(options), ...(prefix === undefined ? {} : { prefix }) }
          const input = { params: { project: session.project(), repository }, query }
          showList(
            session,
            await readList(session.client, 'tags.list', input, options),
            [
              { title: 'TAG', value: (row) => row.name },
              { title: 'DIGEST', value: (row) => shortDigest(row.digest) },
              { title: 'VERSION', value: (row) => String(row.version), align: 'right' },
              { title: 'UPDATED', value: (row) => formatRelative(row.updatedAt, io.nowMs()) },
              { title: 'TYPE', value: (row) => row.artifactType ?? row.mediaType, shrink: true },
            ],
            'There are no tags.',
          )
        },
      ),
    )

  withRegion(leaf(tags, 'show <repository:tag>', 'show a tag')).action(
    withSession<RegionOptions>(io, async (session, [name = ''], options) => {
      const params = { project: session.project(), ...parseTagName(name) }
      const tag = await session.client.call('tags.show', { params, query: inRegion(options) })
      show(session, tag, describeTag(io.nowMs()))
    }),
  )

  withRegion(withListOptions(leaf(tags, 'history <repository:tag>', 'list every change of a tag'))).action(
    withSession<ListOptions & RegionOptions>(io, async (session, [name = ''], options) => {
      const params = { project: session.project(), ...parseTagName(name) }
      showList(
        session,
        await readList(session.client, 'tags.history', { params, query: inRegion(options) }, options),
        [
          { title: 'VERSION', value: (row) => String(row.version), align: 'right' },
          { title: 'DIGEST', value: (row) => (row.digest === null ? '(deleted)' : row.digest) },
          { title: 'MANIFEST', value: (row) => row.manifest ?? '' },
          { title: 'WHEN', value: (row) => formatRelative(row.at, io.nowMs()) },
          { title: 'BY', value: (row) => row.actor },
        ],
        'There was never such a tag.',
      )
    }),
  )
  defineTagDeletion(tags, io)
}

/** Deleting tags and getting them back. */
const defineTagDeletion: Define = (tags, io) => {
  withRegion(leaf(tags, 'delete <repository:tag>', 'delete a tag; its manifest stays')).action(
    withSession<RegionOptions>(io, async (session, [name = ''], options) => {
      const params = { project: session.project(), ...parseTagName(name) }
      const { freedBytes, keptBy } = await session.client.call('tags.show', {
        params,
        query: inRegion(options),
      })
      const rest =
        keptBy === null
          ? `The image stays; deleting it too would free ${formatBytes(freedBytes)}.`
          : `The image stays: ${keptBy} needs it.`
      await confirmByName(session, `This deletes the tag ${name}. ${rest}`, name)
      const deleted = await session.client.call('tags.delete', { params, query: inRegion(options) })
      show(session, deleted, () => [
        `Deleted ${name} (${shortDigest(deleted.digest)}). To get it back: berth tags undelete ${name}`,
      ])
    }),
  )

  withRegion(leaf(tags, 'undelete <repository:tag>', 'restore a deleted tag, or an earlier version of a tag'))
    .option('--version-number <number>', 'which version of the history')
    .action(
      withSession<RegionOptions & { versionNumber?: string }>(io, async (session, [name = ''], options) => {
        const params = { project: session.project(), ...parseTagName(name) }
        const body =
          options.versionNumber === undefined ? {} : { version: parseVersion(options.versionNumber) }
        const tag = await session.client.call('tags.undelete', { params, query: inRegion(options), body })
        show(session, tag, () => [`${name} points at ${tag.digest} (version ${tag.version}).`])
      }),
    )
}

function parseVersion(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new CliError(
    'usage',
    `"${text}" is not a version number.`,
    'See them: berth tags history <repository:tag>',
  )
}

function describeTag(nowMs: number): (tag: TagDetail) => string[] {
  return (tag) =>
    fields([
      ['Tag', tag.name],
      ['Address', tag.address],
      ['Digest', tag.digest],
      ['Type', tag.mediaType],
      ...(tag.artifactType === null ? [] : ([['Artifact', tag.artifactType]] as const)),
      ['Manifest', formatBytes(tag.manifestBytes)],
      ['Version', String(tag.version)],
      ['Updated', formatRelative(tag.updatedAt, nowMs)],
      ['Last pull', formatRelative(tag.lastPulledAt, nowMs)],
      ['Immutable', tag.immutable ? 'yes' : 'no'],
      [
        'Freed if deleted',
        tag.keptBy === null
          ? `${formatBytes(tag.freedBytes)} (with its image)`
          : `nothing: ${tag.keptBy} needs the image`,
      ],
      ['Region', tag.region],
    ])
}
