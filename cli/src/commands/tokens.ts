import type { PersonalToken } from '@berth/api/personal-tokens'
import { type Define, leaf, withListOptions, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { formatRelative, printable } from '../format.ts'
import { show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'
import { parseExpiry } from '../parse-expiry.ts'

/** `tokens …` */
export const defineTokens: Define = (parent, io) => {
  const tokens = parent
    .command('tokens')
    .description('personal access tokens: what your scripts call the console with, as you')

  withListOptions(leaf(tokens, 'list', 'list your tokens'))
    .option('--all-states', 'also list revoked and expired tokens')
    .action(
      withSession<ListOptions & { allStates?: boolean }>(io, async (session, _args, options) => {
        const state = options.allStates === true ? ('all' as const) : ('active' as const)
        const page = await readList(session.client, 'personalTokens.list', { query: { state } }, options)
        showList(
          session,
          page,
          tokenColumns(io.nowMs()),
          'There are no tokens. Create one with: berth tokens create <name>',
        )
      }),
    )

  leaf(tokens, 'create <name>', 'create a token; it is shown once')
    .option('--expires <when>', 'a duration such as 90d, or a date such as 2027-01-31')
    .option(
      '--sensitive',
      'let it do what asks for a fresh confirmation: keys, credentials, members, deletions',
    )
    .action(
      withSession<{ expires?: string; sensitive?: boolean }>(io, async (session, [name = ''], options) => {
        const { expires, sensitive: allowSensitive = false } = options
        const expiresAt = expires === undefined ? {} : { expiresAt: parseExpiry(expires, io.nowMs()) }
        const body = { name, ...expiresAt, allowSensitive }
        const created = await session.client.call('personalTokens.create', { body })
        // The only place that prints a token.
        show(session, created, ({ token }) => [
          `Created the token "${created.name}" (${created.id}).`,
          '',
          `  ${token}`,
          '',
          'It is not shown again. Scripts pass it in BERTH_TOKEN, or as Authorization: Bearer.',
        ])
      }),
    )

  leaf(tokens, 'revoke <id>', 'revoke a token; when this returns nothing accepts it any more').action(
    withSession(io, async (session, [token = '']) => {
      await confirmByName(session, `This revokes the token ${token}.`, token)
      const revoked = await session.client.call('personalTokens.revoke', { params: { token } })
      show(session, revoked, () => [`Revoked the token "${printable(revoked.name)}".`])
    }),
  )
}

function tokenColumns(nowMs: number) {
  return [
    { title: 'ID', value: (row: PersonalToken) => row.id },
    { title: 'NAME', value: (row: PersonalToken) => printable(row.name), shrink: true },
    { title: 'STATE', value: (row: PersonalToken) => row.state },
    { title: 'SENSITIVE', value: (row: PersonalToken) => (row.allowSensitive ? 'yes' : 'no') },
    { title: 'CREATED', value: (row: PersonalToken) => formatRelative(row.createdAt, nowMs) },
    { title: 'LAST USED', value: (row: PersonalToken) => formatRelative(row.lastUsedAt, nowMs) },
    { title: 'EXPIRES', value: (row: PersonalToken) => formatRelative(row.expiresAt, nowMs) },
  ]
}
