import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

/**
 * Unmounts everything mounted below a folder (container engines leave network namespaces and overlay mounts
 * behind), so that the folder can be removed. Deepest first; a mount that is already gone is no error.
 */
export function unmountBelow(folder: string): void {
  if (!existsSync('/proc/self/mounts')) return
  const points = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[1] ?? '').replaceAll('\\040', ' '))
    .filter((point) => point === folder || point.startsWith(`${folder}/`))
    .sort((a, b) => b.length - a.length)
  for (const point of points) {
    try {
      execFileSync('umount', ['-l', point], { stdio: 'ignore' })
    } catch {
      // Unmounted meanwhile, together with its parent or by its owner.
    }
  }
}
