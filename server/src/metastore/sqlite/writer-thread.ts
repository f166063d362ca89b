import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { type AnyCommand, commandsByName } from '../commands.ts'
import type { DatabaseKind } from '../database.ts'
import { GroupWriter } from './group.ts'
import { MAX_GROUP_BYTES, MAX_GROUP_COMMANDS } from './limits.ts'
import { type Answer, type RunRequest, toErrorMessage, type WriterRequest } from './writer-protocol.ts'

/*
 * The writer thread: takes whatever requests wait, runs those that are next to each other and for the same databases
 * as one group per database, and answers each group after its commit.
 */

export interface WriterThreadData {
  /** URL of the module that lists the commands (`commands.ts`). */
  readonly commandsModule: string
}

const port = parentPort as MessagePort
const { commandsModule } = workerData as WriterThreadData
const listed = (await import(commandsModule)) as { COMMANDS: Record<DatabaseKind, readonly AnyCommand[]> }
const commands = {
  control: commandsByName(listed.COMMANDS.control),
  region: commandsByName(listed.COMMANDS.region),
}
const writers = new Map<number, GroupWriter>()
const waiting: WriterRequest[] = []
let busy = false

port.on('message', (request: WriterRequest) => {
  waiting.push(request)
  if (!busy) void work()
})

/** Works until nothing waits. An error that escapes ends this thread, and the main thread starts another one. */
async function work(): Promise<void> {
  busy = true
  try {
    for (;;) {
      receiveWaiting()
      const request = waiting[0]
      if (request === undefined) return
      if (request.type === 'run') await commitGroups(takeGroup())
      else {
        waiting.shift()
        answer([await attempt(request)])
      }
    }
  } finally {
    busy = false
  }
}

function receiveWaiting(): void {
  while (waiting.length < MAX_GROUP_COMMANDS) {
    const received = receiveMessageOnPort(port)
    if (received === undefined) return
    waiting.push(received.message as WriterRequest)
  }
}

/** Takes the commands at the head of the queue, up to the limits of a group or to the next other request. */
function takeGroup(): RunRequest[] {
  const group: RunRequest[] = []
  let sizeBytes = 0
  for (const request of waiting) {
    if (request.type !== 'run' || group.length >= MAX_GROUP_COMMANDS) break
    sizeBytes += request.sizeBytes
    if (group.length > 0 && sizeBytes > MAX_GROUP_BYTES) break
    group.push(request)
  }
  waiting.splice(0, group.length)
  return group
}

async function commitGroups(requests: readonly RunRequest[]): Promise<void> {
  const groups = Map.groupBy(requests, (request) => request.database)
  for (const [database, group] of groups) {
    const writer = writers.get(database)
    if (writer === undefined) {
      const error = toErrorMessage(new Error('the database is closed'))
      answer(group.map((request) => ({ call: request.call, ok: false, error })))
      continue
    }
    answer(await writer.commit(group))
    writer.checkpoint()
  }
}

async function attempt(request: Exclude<WriterRequest, RunRequest>): Promise<Answer> {
  try {
    if (request.type === 'open') {
      const writer = new GroupWriter(request.kind, request.path, commands[request.kind])
      if (!request.again) await writer.open()
      writers.set(request.database, writer)
    } else {
      writers.get(request.database)?.close()
      writers.delete(request.database)
    }
    return { call: request.call, ok: true, result: null }
  } catch (error) {
    return { call: request.call, ok: false, error: toErrorMessage(error) }
  }
}

function answer(answers: readonly Answer[]): void {
  try {
    port.postMessage(answers)
  } catch {
    // One result cannot be cloned, which is a mistake in its command: only its caller is told.
    for (const one of answers) answerAlone(one)
  }
}

function answerAlone(one: Answer): void {
  try {
    port.postMessage([one])
  } catch (error) {
    port.postMessage([{ call: one.call, ok: false, error: toErrorMessage(error) }])
  }
}
