import { Command, Option } from 'commander'
import { defineAudit } from './commands/audit.ts'
import { defineCi } from './commands/ci.ts'
import { defineCompletion } from './commands/completion.ts'
import { defineDoctor } from './commands/doctor.ts'
import { defineExplain } from './commands/explain.ts'
import { defineGc } from './commands/gc.ts'
import { defineInvitations } from './commands/invitations.ts'
import { defineMembers } from './commands/members.ts'
import { defineKeys } from './commands/keys.ts'
import { defineContexts } from './commands/contexts.ts'
import { defineLogin } from './commands/login.ts'
import { defineMaintenance } from './commands/maintenance.ts'
import { defineManifests } from './commands/manifests.ts'
import { definePasskeys } from './commands/passkeys.ts'
import { definePeople } from './commands/people.ts'
import { definePolicies } from './commands/policies.ts'
import { defineProjects } from './commands/projects.ts'
import { defineRegions } from './commands/regions.ts'
import { defineRegistries } from './commands/registries.ts'
import { defineRepos } from './commands/repos.ts'
import { defineRetention } from './commands/retention.ts'
import { defineServe } from './commands/serve.ts'
import { defineSessions } from './commands/sessions.ts'
import { defineTags } from './commands/tags.ts'
import { defineTokens } from './commands/tokens.ts'
import { defineTrash } from './commands/trash.ts'
import { defineUsage } from './commands/usage.ts'
import { defineVault } from './commands/vault.ts'
import { defineVersion } from './commands/version.ts'
import { defineWebhooks } from './commands/webhooks.ts'
import type { Io } from './io.ts'
import { readVersion } from './version.ts'

const DEFINITIONS = [
  defineServe,
  defineLogin,
  defineContexts,
  defineSessions,
  defineTokens,
  definePasskeys,
  definePeople,
  defineProjects,
  defineMembers,
  defineInvitations,
  defineKeys,
  defineCi,
  defineRegions,
  defineRegistries,
  defineRepos,
  defineTags,
  defineManifests,
  defineUsage,
  definePolicies,
  defineRetention,
  defineTrash,
  defineGc,
  defineAudit,
  defineExplain,
  defineWebhooks,
  defineVault,
  defineMaintenance,
  defineDoctor,
  defineCompletion,
  defineVersion,
]

/** The whole command line as definitions; actions load what they need when they run. */
export function createProgram(io: Io): Command {
  const program = new Command('berth')
    .description('A container registry with a private registry for every project')
    .version(readVersion(), '--version', 'show the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .option('--json', 'print what the console answers, as JSON')
    .addOption(new Option('--context <name>', 'use this context').env('BERTH_CONTEXT'))
    .addOption(new Option('--project <project>', 'id or namespace of the project').env('BERTH_PROJECT'))
    .option('--yes', 'do not ask before something is deleted')
    .showHelpAfterError('Add --help to see how it is used.')
    .showSuggestionAfterError(true)
  settle(program, io)
  for (const define of DEFINITIONS) define(program, io)
  for (const command of descendants(program)) settle(command, io)
  return program
}

/** Output goes where the caller says, and errors are thrown instead of ending the process. */
function settle(command: Command, io: Io): void {
  command
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getErrHelpWidth: () => io.stderr.columns ?? 100,
    })
}

/** All sub-commands, at any depth. */
export function descendants(command: Command): Command[] {
  return command.commands.flatMap((child) => [child, ...descendants(child)])
}
