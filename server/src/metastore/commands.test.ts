import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { test } from 'node:test'
import { type AnyCommand, COMMANDS, commandsByName } from './commands.ts'

function isCommand(value: unknown): value is AnyCommand {
  return (
    typeof value === 'object' &&
    value !== null &&
    'execute' in value &&
    typeof value.execute === 'function' &&
    'name' in value &&
    typeof value.name === 'string'
  )
}

test('every command of queries/ is listed for a database kind', async () => {
  const listed = new Set<AnyCommand>([...COMMANDS.control, ...COMMANDS.region])
  const files = globSync('queries/*.ts', { cwd: import.meta.dirname }).filter(
    (file) => !file.endsWith('.test.ts'),
  )
  assert.ok(files.length > 0)
  for (const file of files) {
    const exported = (await import(`./${file}`)) as Record<string, unknown>
    for (const [name, value] of Object.entries(exported)) {
      const commands = Array.isArray(value) ? value.filter(isCommand) : isCommand(value) ? [value] : []
      for (const command of commands) {
        assert.ok(listed.has(command), `${file}: ${name} (${command.name}) is not listed in commands.ts`)
      }
    }
  }
})

test('names are unique and made of a noun and a verb', () => {
  for (const commands of Object.values(COMMANDS)) {
    for (const name of commandsByName(commands).keys()) assert.match(name, /^[a-z_]+\.[a-zA-Z_]+$/)
  }
})

test('a name that is given twice is refused', () => {
  const command: AnyCommand = { name: 'noun.verb', execute: async () => null }
  assert.throws(() => commandsByName([command, { ...command }]), /two commands are named noun\.verb/)
})
