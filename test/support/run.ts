/**
 * What `npm test` runs. Installs what the chosen suites need, runs them with node:test, says which files could
 * not run and why, and ends with one plain line: `N passed, N failed` (and `, N skipped` when there are any).
 *
 *   node test/support/run.ts [--suite unit|support|conformance|e2e|…]… [--stack sqlite-fs|postgres-s3]
 *                            [--tier quick|full|all] [--match pattern] [--file part-of-a-path] [--list]
 *
 * Without --suite: every suite. Without --tier: `quick`. A file that cannot run counts as skipped, and as
 * failed when CI or BERTH_REQUIRE_ALL is set.
 */
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { finished } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { dependsOnStack, type Stack, type SuiteFile, stacks, suiteFiles, suiteNames } from './suite-files.ts'
import type { ToolName } from './tool-table.ts'
import { describeMissing, ensureTools, type MissingTool } from './tools.ts'

const unitConcurrency = 2
const testTimeoutMs = { quick: 5 * 60_000, full: 40 * 60_000 }
/** All tests of one call together; installing tools comes before and is not part of it. */
const budgetMs = { quick: 10 * 60_000, full: 55 * 60_000 }

type Counts = { passed: number; failed: number; skipped: number }
type Options = {
  suites: string[]
  stack: Stack
  tier: 'quick' | 'full' | 'all'
  match: string | undefined
  file: string | undefined
  list: boolean
}

await main()

async function main(): Promise<void> {
  const options = readOptions()
  process.env['BERTH_TEST_STACK'] = options.stack
  const startedAt = performance.now()
  const chosen = new Map(options.suites.map((suite) => [suite, choose(suite, options)]))
  if (options.list) {
    for (const [suite, files] of chosen) for (const file of files) console.log(`${suite}\t${file.name}`)
    return
  }
  const missing = await install([...chosen.values()].flat(), options.stack)
  const total: Counts = { passed: 0, failed: 0, skipped: 0 }
  const unable: string[] = []
  const signal = AbortSignal.timeout(budgetMs[options.tier === 'quick' ? 'quick' : 'full'])
  for (const [suite, files] of chosen) {
    const needs = dependsOnStack(suite) ? stackTools(options.stack) : []
    const lacking = new Map(
      files.map((file) => [file, missing.filter(({ name }) => needsTool(file, needs, name))]),
    )
    const able = files.filter((file) => lacking.get(file)?.length === 0)
    for (const [file, tools] of lacking) {
      if (tools.length > 0) unable.push(`${file.name} cannot run:\n${describeMissing(tools)}`)
    }
    if (able.length > 0) add(total, await runSuite(suite, able, options, signal))
  }
  report(total, unable, missing, performance.now() - startedAt)
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      suite: { type: 'string', multiple: true },
      stack: { type: 'string', default: 'sqlite-fs' },
      tier: { type: 'string', default: 'quick' },
      match: { type: 'string' },
      file: { type: 'string' },
      list: { type: 'boolean', default: false },
    },
  })
  const known = suiteNames()
  for (const suite of values.suite ?? []) {
    if (!known.includes(suite)) fail(`there is no suite "${suite}"; there are: ${known.join(', ')}`)
  }
  const stack = stacks.find((name) => name === values.stack)
  if (stack === undefined) fail(`there is no stack "${values.stack}"; there are: ${stacks.join(', ')}`)
  const tier = (['quick', 'full', 'all'] as const).find((name) => name === values.tier)
  if (tier === undefined) fail(`there is no tier "${values.tier}"; there are: quick, full, all`)
  const { match, file, list } = values
  return { suites: values.suite ?? known, stack, tier, match, file, list }
}

function choose(suite: string, options: Options): SuiteFile[] {
  return suiteFiles(suite).filter(
    (file) =>
      (options.tier === 'all' || file.tier === options.tier) &&
      (!dependsOnStack(suite) || file.stacks.includes(options.stack)) &&
      (options.file === undefined || file.name.includes(options.file)),
  )
}

async function install(files: readonly SuiteFile[], stack: Stack): Promise<MissingTool[]> {
  const names = files.flatMap((file) => [...file.needs, ...file.uses])
  if (files.some((file) => dependsOnStack(file.name.split('/')[1] ?? ''))) names.push(...stackTools(stack))
  return (await ensureTools(names)).missing
}

function stackTools(stack: Stack): ToolName[] {
  return stack === 'postgres-s3' ? ['postgres', 'versitygw'] : []
}

function needsTool(file: SuiteFile, stackNeeds: readonly ToolName[], name: ToolName): boolean {
  return file.needs.includes(name) || stackNeeds.includes(name)
}

/** Runs the files of one suite, each in a process of its own, and prints every result as it comes. */
async function runSuite(
  suite: string,
  files: readonly SuiteFile[],
  options: Options,
  signal: AbortSignal,
): Promise<Counts> {
  const where = dependsOnStack(suite) ? ` on ${options.stack}` : ''
  console.log(`\n— ${suite}${where}: ${files.length} file${files.length === 1 ? '' : 's'} —`)
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 }
  let success = true
  const events = run({
    files: files.map((file) => file.path),
    isolation: 'process',
    // Suites with servers use both cores by themselves; side by side they would only time each other out.
    concurrency: suite === 'unit' ? unitConcurrency : 1,
    timeout: testTimeoutMs[options.tier === 'quick' ? 'quick' : 'full'],
    signal,
    ...(options.match === undefined ? {} : { testNamePatterns: [options.match] }),
  })
  events.on('test:summary', (summary) => {
    success &&= summary.success
    if (summary.file !== undefined) return // One for each file, then one for all of them.
    counts.passed += summary.counts.passed
    const { failed = 0 } = summary.counts as { failed?: number } // Node sends it; its types leave it out.
    counts.failed += failed + summary.counts.cancelled
    counts.skipped += summary.counts.skipped + summary.counts.todo
  })
  const lines = events.compose(spec)
  lines.pipe(process.stdout, { end: false })
  await finished(lines)
  if (signal.aborted) {
    console.log(`${suite}: stopped, the time for all suites is used up`)
    counts.failed += 1
  } else if (!success && counts.failed === 0) counts.failed += 1
  return counts
}

function report(
  total: Counts,
  unable: readonly string[],
  missing: readonly MissingTool[],
  elapsedMs: number,
): void {
  const strict = Boolean(process.env['CI'] || process.env['BERTH_REQUIRE_ALL'])
  total[strict ? 'failed' : 'skipped'] += unable.length
  console.log('')
  for (const text of unable) console.log(`${text}\n`)
  if (unable.length === 0 && missing.length > 0) console.log(`${describeMissing(missing)}\n`)
  console.log(`took ${(elapsedMs / 1000).toFixed(0)} s`)
  const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : ''
  console.log(`${total.passed} passed, ${total.failed} failed${skipped}`)
  process.exitCode = total.failed > 0 || total.passed + total.skipped === 0 ? 1 : 0
}

function add(total: Counts, counts: Counts): void {
  total.passed += counts.passed
  total.failed += counts.failed
  total.skipped += counts.skipped
}

function fail(message: string): never {
  console.error(message)
  process.exit(2)
}
