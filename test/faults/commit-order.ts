import assert from 'node:assert/strict'
import type { FileEvent } from './file-faults.ts'

const databaseLog = /^regions\/[^/]+\/region\.db-wal$/

/**
 * Checks what came before a 201 for a blob in the file system: its file synced after the last write and before the
 * rename, the directory synced after the rename (and its parent, when it was made), then the database's log written
 * and synced, then the answer. `events` begin with the closing request.
 */
export function checkBlobCommitOrder(events: readonly FileEvent[], digest: string): void {
  const hex = digest.slice('sha256:'.length)
  const rename = indexOf(events, 0, 'rename', (path) => path.includes(`/blobs/sha256/`) && path.includes(hex))
  assert.ok(rename >= 0, `no rename to ${hex} before the answer`)
  const before = events.slice(0, rename)
  const lastSync = before.findLastIndex((event) => isOk(event, 'sync') && event.path.includes('/uploads/'))
  assert.ok(lastSync >= 0, 'the file was not synced before its rename')
  const file = (before[lastSync] as FileEvent).path
  const written = before.findLastIndex(({ operation, path }) => operation === 'write' && path === file)
  assert.ok(written < lastSync, 'the file was written after it was synced')
  const directory = parentOf((events[rename] as FileEvent).path)
  const synced = indexOf(events, rename, 'sync', (path) => path === directory)
  assert.ok(synced > rename, `the directory ${directory} was not synced after the rename`)
  const made = indexOf(events, 0, 'mkdir', (path) => path === directory)
  if (made >= 0) {
    const parent = indexOf(events, made, 'sync', (path) => path === parentOf(directory))
    assert.ok(parent > made, `the parent of ${directory} was not synced`)
  }
  checkDatabaseCommitOrder(events.slice(synced))
}

/** Checks that the database's log was written, then synced, before the first 2xx answer. */
export function checkDatabaseCommitOrder(events: readonly FileEvent[]): void {
  const answer = events.findIndex(({ operation, result }) => operation === 'answer' && result.startsWith('2'))
  assert.ok(answer >= 0, 'no answer was seen')
  const before = events.slice(0, answer)
  const written = indexOf(before, 0, 'write', (path) => databaseLog.test(path))
  assert.ok(written >= 0, 'the database was not written before the answer')
  const synced = indexOf(before, written, 'sync', (path) => databaseLog.test(path))
  assert.ok(synced > written, 'the database was not synced between its write and the answer')
}

function indexOf(
  events: readonly FileEvent[],
  from: number,
  operation: FileEvent['operation'],
  matches: (path: string) => boolean,
): number {
  return events.findIndex((event, index) => index >= from && isOk(event, operation) && matches(event.path))
}

function isOk(event: FileEvent, operation: FileEvent['operation']): boolean {
  return event.operation === operation && (event.result === 'ok' || event.result === 'short')
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}
