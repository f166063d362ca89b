import type { Policies } from '@berth/api/policies'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, listOption, withSession } from '../command.ts'
import { show } from '../output.ts'

interface ImmutableOptions {
  readonly repos?: string[]
  readonly add?: boolean
  readonly none?: boolean
}

/** `policies …` */
export const definePolicies: Define = (parent, io) => {
  const policies = parent.command('policies').description("a project's rules about its images")

  leaf(policies, 'show', 'show which tags are immutable, and what retention keeps').action(
    withSession(io, async (session) => {
      const found = await session.client.call('policies.show', { params: { project: session.project() } })
      show(session, found, (all) => [
        ...describeImmutable(all),
        all.retention === null
          ? 'Retention: no rules, everything is kept.'
          : `Retention: ${all.retention.rules.length} rules. See them: berth retention show`,
      ])
    }),
  )

  leaf(policies, 'immutable [patterns...]', 'make tags immutable: they are never moved or deleted')
    .addOption(listOption('--repos <globs>', 'in these repositories only (default: all)'))
    .option('--add', 'besides the rules that there are, instead of in place of them')
    .option('--none', 'no tag is immutable')
    .action(
      withSession<ImmutableOptions>(io, async (session, patterns, options) => {
        const params = { project: session.project() }
        // Commander gives all of a variadic argument as one.
        const tags = (patterns as unknown as string[][])[0] ?? []
        if ((tags.length === 0) !== (options.none === true)) {
          throw new CliError(
            'usage',
            'Give patterns of tags, or --none.',
            'Example: berth policies immutable "v*" "!v0*"',
          )
        }
        const { repos } = options
        const rule = { tags, ...(repos === undefined ? {} : { repositories: repos }) }
        const before = options.add === true ? await session.client.call('policies.show', { params }) : null
        const immutableTags = options.none === true ? [] : [...(before?.immutableTags ?? []), rule]
        const changed = await session.client.call('policies.update', { params, body: { immutableTags } })
        show(session, changed, describeImmutable)
      }),
    )
}

function describeImmutable({ immutableTags }: Policies): string[] {
  if (immutableTags.length === 0) return ['Immutable tags: none.']
  return immutableTags.map(
    ({ tags, repositories }) => `Immutable tags: ${tags.join(', ')} in ${repositories.join(', ')}`,
  )
}
