import { readdir, readFile, writeFile } from 'node:fs/promises'

/** Linux counts processor time for `/proc` in ticks of a hundredth of a second, whatever the kernel's own rate is. */
const TICK_MS = 10

/** Ids of a process and all its descendants, read from `/proc`. Those that end meanwhile are left out. */
export async function processTree(rootPid: number): Promise<number[]> {
  const parents = new Map<number, number>()
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = await readStat(Number(name))
    if (stat !== null) parents.set(Number(name), Number(stat[1]))
  }
  const tree = [rootPid]
  for (let i = 0; i < tree.length; i++) {
    for (const [pid, parent] of parents) if (parent === tree[i]) tree.push(pid)
  }
  return tree.filter((pid) => parents.has(pid))
}

/** User plus system time of a process tree, with that of children that have ended, in milliseconds (10 ms ticks). */
export async function cpuMs(rootPid: number): Promise<number> {
  let ticks = 0
  for (const pid of await processTree(rootPid)) {
    const stat = await readStat(pid)
    // Fields 14 to 17 of proc(5): utime, stime, cutime, cstime; `stat` begins at field 3.
    if (stat !== null) for (let field = 11; field <= 14; field++) ticks += Number(stat[field])
  }
  return ticks * TICK_MS
}

/** Resident memory of a process tree in bytes: the sum, so pages that two processes share count twice. */
export function residentBytes(rootPid: number): Promise<number> {
  return sumStatus(rootPid, 'VmRSS')
}

/** The most resident memory that each process of the tree ever had since {@link resetPeak}, summed, in bytes. */
export function peakBytes(rootPid: number): Promise<number> {
  return sumStatus(rootPid, 'VmHWM')
}

/** Sets the peak of each process of the tree to what is resident now (`clear_refs`, proc(5)). */
export async function resetPeak(rootPid: number): Promise<void> {
  for (const pid of await processTree(rootPid)) await writeFile(`/proc/${pid}/clear_refs`, '5')
}

async function sumStatus(rootPid: number, field: string): Promise<number> {
  let kib = 0
  for (const pid of await processTree(rootPid)) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    kib += Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0)
  }
  return kib * 1024
}

/** Fields of `/proc/PID/stat` from the third (state) on; null when the process is gone. */
async function readStat(pid: number): Promise<string[] | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  // The second field is the program's name in parentheses, which may hold spaces and parentheses itself.
  return text === null ? null : text.slice(text.lastIndexOf(')') + 2).split(' ')
}
