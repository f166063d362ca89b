import type { Passkey } from '@berth/api/sessions'
import { type Define, leaf, withListOptions, withSession } from '../command.ts'
import { confirmByName } from '../confirm.ts'
import { formatRelative, printable } from '../format.ts'
import { show, showList } from '../output.ts'
import { type ListOptions, readList } from '../paging.ts'

/** `passkeys …` */
export const definePasskeys: Define = (parent, io) => {
  const passkeys = parent
    .command('passkeys')
    .description('your passkeys: what signs you in without a password')

  withListOptions(leaf(passkeys, 'list', 'list your passkeys')).action(
    withSession<ListOptions>(io, async (session, _args, options) => {
      const page = await readList(session.client, 'passkeys.list', {}, options)
      showList(session, page, passkeyColumns(io.nowMs()), 'There are no passkeys.')
    }),
  )

  leaf(passkeys, 'delete <id>', 'delete a passkey: it signs nobody in any more').action(
    withSession(io, async (session, [passkey = '']) => {
      await confirmByName(session, `This deletes the passkey ${passkey}.`, passkey)
      const deleted = await session.client.call('passkeys.delete', { params: { passkey } })
      show(session, deleted, ({ id, name }) => [`Deleted the passkey ${printable(name ?? id)}.`])
    }),
  )
}

function passkeyColumns(nowMs: number) {
  return [
    { title: 'ID', value: (row: Passkey) => row.id },
    { title: 'NAME', value: (row: Passkey) => printable(row.name ?? ''), shrink: true },
    { title: 'SYNCHRONIZED', value: (row: Passkey) => (row.backedUp ? 'yes' : 'no') },
    { title: 'CREATED', value: (row: Passkey) => formatRelative(row.createdAt, nowMs) },
  ]
}
