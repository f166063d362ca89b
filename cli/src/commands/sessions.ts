import type { Session as PersonSession } from '@berth/api/sessions'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, withListOptions, withSession } from '../command.ts'
import { formatRelative, printable } from '../format.ts'
import { show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'

/** `sessions …` */
export const defineSessions: Define = (parent, io) => {
  const sessions = parent
    .command('sessions')
    .description('your sessions: browsers and command lines that are signed in as you')

  withListOptions(leaf(sessions, 'list', 'list your sessions')).action(
    withSession<ListOptions>(io, async (session, _args, options) => {
      const page = await readList(session.client, 'sessions.list', {}, options)
      showList(session, page, sessionColumns(io.nowMs()), 'There are no sessions.')
    }),
  )

  leaf(sessions, 'end [id]', 'end a session; when this returns nothing accepts it any more')
    .option('--others', 'end all sessions but the one of this command')
    .action(
      withSession<{ others?: boolean }>(io, async (session, args, { others }) => {
        // A positional argument that was left out is undefined.
        const id = args[0] as string | undefined
        if ((id === undefined) === (others !== true)) {
          throw new CliError(
            'usage',
            'Name one session, or use --others.',
            'See which there are: berth sessions list',
          )
        }
        if (id === undefined) {
          const ended = await session.client.call('sessions.endOthers', {})
          show(session, ended, ({ ended: count }) => [
            count === 0 ? 'There were no others.' : `Ended ${count} ${count === 1 ? 'session' : 'sessions'}.`,
          ])
          return
        }
        const ended = await session.client.call('sessions.end', { params: { session: id } })
        show(session, ended, () => [`Ended the session ${ended.id}.`])
      }),
    )
}

function sessionColumns(nowMs: number) {
  return [
    { title: '', value: (row: PersonSession) => (row.current ? '*' : '') },
    { title: 'ID', value: (row: PersonSession) => row.id },
    { title: 'KIND', value: (row: PersonSession) => (row.kind === 'device' ? 'command line' : 'browser') },
    { title: 'FROM', value: (row: PersonSession) => printable(row.address ?? '') },
    { title: 'PROGRAM', value: (row: PersonSession) => printable(row.userAgent ?? ''), shrink: true },
    { title: 'SIGNED IN', value: (row: PersonSession) => formatRelative(row.createdAt, nowMs) },
    { title: 'LAST USED', value: (row: PersonSession) => formatRelative(row.lastUsedAt, nowMs) },
    { title: 'ENDS', value: (row: PersonSession) => formatRelative(row.expiresAt, nowMs) },
  ]
}
