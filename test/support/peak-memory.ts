import { readFileSync, writeFileSync } from 'node:fs'

/** Forgets the peak so far, so that the next reading is of what happens from now on. Linux only. */
export function resetPeakMemory(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

/** The most memory that a process has had resident (VmHWM), in bytes. Linux only. */
export function peakMemoryBytes(pid: number): number {
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  if (line === null) throw new Error(`/proc/${pid}/status does not say VmHWM`)
  return Number(line[1]) * 1024
}
