import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  type CommandError,
  freePort,
  portAnswers,
  runCommand,
  startProcess,
  waitFor,
  waitUntilReady,
} from './process.ts'

const here = import.meta.dirname

test('a command that fails says its line, its code and its last words', async () => {
  await assert.rejects(
    runCommand('sh', ['-c', 'echo out; echo wrong >&2; exit 3']),
    (error: CommandError) => {
      assert.equal(error.result.code, 3)
      assert.match(error.message, /exit code 3[\s\S]*wrong/)
      return true
    },
  )
  assert.equal((await runCommand('cat', [], { stdin: 'through' })).stdout, 'through')
})

test('a command that takes too long is ended with its children', async () => {
  await assert.rejects(
    runCommand('sh', ['-c', 'sleep 600 & sleep 600'], { timeoutMs: 200 }),
    /longer than 200 ms/,
  )
})

test('a server that ends before it is ready is an error with the tail of its log', async () => {
  const server = await startProcess('sh', ['-c', 'echo cannot open the file >&2; exit 1'])
  await assert.rejects(
    waitUntilReady(server, async () => false),
    /ended \(1\)[\s\S]*cannot open the file/,
  )
})

test('stop ends the children of a server too', async () => {
  const server = await startProcess('sh', ['-c', 'sleep 600 & echo $!; wait'])
  await waitFor('the child’s pid', async () => server.output().includes('\n'))
  await server.stop()
  await waitFor('the child to end', async () => !isRunning(Number(server.output())))
})

for (const signal of ['SIGTERM', 'SIGINT', 'SIGKILL'] as const) {
  test(`no server and no folder outlives a test process that ends by ${signal}`, async () => {
    const notes = mkdtempSync(join(tmpdir(), 'berth-notes-'))
    const port = await freePort()
    const script = `
      import { startProcess, temporaryFolder } from '${here}/process.ts'
      import { writeFileSync } from 'node:fs'
      writeFileSync('${notes}/folder', temporaryFolder('orphan').path)
      const code = "require('http').createServer().listen(${port}, '127.0.0.1')"
      await startProcess(process.execPath, ['-e', code])
      setInterval(() => {}, 1000)`
    const owner = await startProcess(process.execPath, ['--input-type=module-typescript', '-e', script])
    await waitUntilReady(owner, () => portAnswers(port))
    process.kill(owner.pid, signal)
    await owner.exited
    await waitFor('the server to end', async () => !(await portAnswers(port)))
    const folder = readFileSync(join(notes, 'folder'), 'utf8')
    // Nothing can run in a process that is killed outright, so only then may its folder remain.
    if (signal !== 'SIGKILL') assert.equal(existsSync(folder), false)
    rmSync(folder, { recursive: true, force: true })
    rmSync(notes, { recursive: true })
  })
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
