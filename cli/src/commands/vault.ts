import type { VaultRekeyed, VaultStatus } from '@berth/api/vault'
import { CliError } from '../cli-error.ts'
import { type Define, leaf, withSession } from '../command.ts'
import { formatRelative } from '../format.ts'
import { note } from '../io.ts'
import { fields, show } from '../output.ts'
import type { Session } from '../session.ts'

/** `vault …`, for operators. */
export const defineVault: Define = (parent, io) => {
  const vault = parent.command('vault').description('the keys that protect stored secrets')

  leaf(vault, 'status', 'show which root key is in use, and what a change of keys has still to do').action(
    withSession(io, async (session) => {
      show(session, await session.client.call('vault.status', {}), (status) => describe(status, io.nowMs()))
    }),
  )

  leaf(vault, 'rekey', 'take the new root key if there is one, and give each project a new key')
    .option('--root-only', 'only change the root key')
    .addHelpText(
      'after',
      '\nEverything stays readable and writable meanwhile. It can be interrupted: run it again to go on.',
    )
    .action(
      withSession<{ rootOnly?: boolean }>(io, async (session, _args, { rootOnly }) => {
        await rekey(session, rootOnly !== true)
      }),
    )
}

async function rekey(session: Session, projectKeys: boolean): Promise<void> {
  const done = { keys: 0, projects: 0, secrets: 0 }
  const progress = progressLine(session)
  for (;;) {
    const step = await session.client.call('vault.rekey', { body: { projectKeys } })
    done.keys += step.rewrappedKeys
    done.projects += step.rekeyedProjects
    done.secrets += step.resealedSecrets
    progress(step, done.projects)
    if (step.done) return finish(session, step, done)
    if (step.pendingRegions.length > 0 && step.rekeyedProjects === 0 && step.rewrappedKeys === 0) {
      throw new CliError(
        'failure',
        `${step.pendingRegions.join(', ')} cannot be reached, and still needs the keys from before.`,
        'Run the command again when it can: it goes on where it stopped. Keep the root key from before until then.',
      )
    }
  }
}

function finish(
  session: Session,
  step: VaultRekeyed,
  done: { readonly keys: number; readonly projects: number; readonly secrets: number },
): void {
  show(session, { ...step, ...totals(done) }, () => [
    `Done: ${done.keys} project keys are under another root key now, ${done.projects} projects have a new key, ${done.secrets} secrets are sealed anew.`,
    `The installation is on the root key ${step.rootKey.active}.`,
    ...(step.rootKey.previousConfigured && step.rootKey.canForgetPrevious
      ? [
          'Nothing needs the root key before any more: take BERTH_ROOT_KEY_PREVIOUS away and start each process again.',
          'Backups from before today still need it.',
        ]
      : []),
  ])
  for (const record of step.unreadable) {
    note(
      session.io,
      `warning: ${record} cannot be opened and was left as it is. Store the secret again, or delete it.`,
    )
  }
}

function totals(done: { readonly keys: number; readonly projects: number; readonly secrets: number }) {
  return { rewrappedKeys: done.keys, rekeyedProjects: done.projects, resealedSecrets: done.secrets }
}

const CLEAR_LINE = '\r\u001b[K'

/** One line on a terminal that says how far it is; nothing elsewhere. */
function progressLine({ io, options }: Session): (step: VaultRekeyed, projects: number) => void {
  if (io.stderr.isTTY !== true || options.json === true) return () => {}
  return (step, projects) => {
    const { remaining } = step.projectKeys
    const text = step.done ? '' : `${projects} of ${projects + remaining} projects`
    io.stderr.write(`${CLEAR_LINE}${text}`)
  }
}

function describe({ rootKey, projectKeys }: VaultStatus, nowMs: number): string[] {
  const { active, configured, projectKeysOfOthers } = rootKey
  return fields([
    ['Root key in use', active],
    ['Root key given', configured === active ? configured : `${configured} (new: run berth vault rekey)`],
    [
      'Root key before',
      rootKey.previousConfigured
        ? rootKey.canForgetPrevious
          ? 'given, not needed'
          : 'given, needed'
        : 'not given',
    ],
    ['Under another root key', `${projectKeysOfOthers} project keys`],
    ['Projects with a key', String(projectKeys.projects)],
    [
      'Re-keying',
      projectKeys.startedAt === null
        ? 'none'
        : `began ${formatRelative(projectKeys.startedAt, nowMs)}, ${projectKeys.remaining} projects left`,
    ],
  ])
}
