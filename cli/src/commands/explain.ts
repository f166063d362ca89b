import { type Define, leaf, withSession } from '../command.ts'
import { formatRelative } from '../format.ts'
import { fields, show } from '../output.ts'

/** `explain` */
export const defineExplain: Define = (parent, io) => {
  leaf(parent, 'explain <request-id>', 'say why a request was refused, by its request id').action(
    withSession(io, async (session, [requestId = '']) => {
      const refusal = await session.client.call('refusals.explain', { params: { requestId } })
      show(session, refusal, ({ explanation, remedy, ...rest }) => [
        explanation,
        ...(remedy === null ? [] : [remedy]),
        '',
        ...fields([
          ['Rule', rest.rule],
          ['Answer', `${rest.status} ${rest.code}`],
          ['Who', rest.actor],
          ['From', rest.address],
          ['What', `${rest.operation} ${rest.resource}`.trim()],
          ['Where', rest.source],
          ['When', formatRelative(rest.at, io.nowMs())],
        ]),
      ])
    }),
  )
}
