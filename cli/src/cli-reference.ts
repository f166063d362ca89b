import type { Command, Option } from 'commander'
import { EXIT_CODES } from './exit-code.ts'
import { descendants } from './program.ts'

/** `docs/reference/cli.md`, made from the definitions of the commands. */
export function createCliReference(program: Command): string {
  const leaves = descendants(program).filter((command) => command.commands.length === 0)
  const exits = Object.values(EXIT_CODES).map(({ code, description }) => `| ${code} | ${description} |`)
  return `# Command line

This page is generated from the definitions of the commands in \`cli/src/commands/\`.

${program.description()}. Every command takes these options, before or after its own:

${optionTable(program.options)}

Results go to standard output, everything else (notes, questions, progress, errors) to standard error. With \`--json\` the
result is what the console's API answers, and an error is \`{"error": {code, message, details, hint, requestId, exitCode}}\`.
Secrets are never arguments: the operator token is asked for, or read from standard input or \`BERTH_TOKEN\`.

Consoles that you are logged in to are contexts, in \`$XDG_CONFIG_HOME/berth/config.json\` (by default
\`~/.config/berth/config.json\`), which only its owner may read. Without a context the command tries \`BERTH_CONSOLE_URL\`,
then \`http://127.0.0.1:8080\`.

| exit code | meaning |
|---|---|
${exits.join('\n')}

## Commands

${leaves.map(describeCommand).join('\n\n')}
`
}

function describeCommand(command: Command): string {
  const lines = [`### \`${usageOf(command)}\``, '', `${capitalize(command.description())}.`]
  return [...lines, ...(command.options.length === 0 ? [] : ['', optionTable(command.options)])].join('\n')
}

function usageOf(command: Command): string {
  const names: string[] = []
  for (let each: Command | null = command; each !== null; each = each.parent) names.unshift(each.name())
  const args = command.registeredArguments.map((argument) =>
    argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
  )
  return [...names, ...args].join(' ')
}

function optionTable(options: readonly Option[]): string {
  const rows = options.map(({ flags, description, envVar }) => {
    const variable = envVar === undefined ? '' : ` (or \`${envVar}\`)`
    return `| \`${flags}\` | ${description.replaceAll('|', '\\|')}${variable} |`
  })
  return ['| option | meaning |', '|---|---|', ...rows].join('\n')
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
