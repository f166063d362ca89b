import type { ControlRuntime } from '../runtime.ts'

/** The host (and port) in the commands that pages show: the one without a region when there is one. */
export function exampleHost({ sharedHost, regions }: ControlRuntime): string {
  const [first] = regions.values()
  return sharedHost?.host ?? first?.region.host ?? 'localhost:5000'
}
