import { MAX_GLOBS_PER_LIST, MAX_GLOB_LENGTH } from './limits.ts'

/**
 * A pattern of repository paths below a project's namespace. Components are separated by `/`. In a component `*`
 * stands for any run of characters without `/`, the empty one included; a component `**` stands for any number of
 * components, none included: `team/**` is `team` and all below it. All else stands for itself.
 */
export interface RepositoryGlob {
  readonly text: string
  matches(path: string): boolean
}

/** One component: the literal pieces between its `*`. A single piece has to be equal. */
type ComponentGlob = readonly string[]

// The characters of repository names (distribution spec, "Pulling manifests") and the star.
const COMPONENT = /^[a-z0-9._*-]+$/
const ANY_COMPONENTS = '**'

const compiledLists = new WeakMap<readonly string[], readonly RepositoryGlob[]>()

/** Parses a glob, or null when it is empty, too long, or not of the grammar. `**` stands alone in its component. */
export function parseRepositoryGlob(text: string): RepositoryGlob | null {
  if (text.length === 0 || text.length > MAX_GLOB_LENGTH) return null
  const components = text.split('/')
  for (const component of components) {
    if (component === ANY_COMPONENTS) continue
    if (!COMPONENT.test(component) || component.includes(ANY_COMPONENTS)) return null
  }
  const runs = splitAtAnyComponents(components)
  return { text, matches: (path) => matchesRuns(runs, path.split('/')) }
}

/** Parses a list of at most MAX_GLOBS_PER_LIST globs; null when it is longer or one of them is malformed. */
export function parseRepositoryGlobs(texts: readonly string[]): readonly RepositoryGlob[] | null {
  if (texts.length > MAX_GLOBS_PER_LIST) return null
  const globs: RepositoryGlob[] = []
  for (const text of texts) {
    const glob = parseRepositoryGlob(text)
    if (glob === null) return null
    globs.push(glob)
  }
  return globs
}

/**
 * Whether one of the globs matches. The list is compiled once for as long as the array lives, so pass the same
 * array each time. A list that is not valid matches nothing.
 */
export function matchesAnyGlob(texts: readonly string[], path: string): boolean {
  let globs = compiledLists.get(texts)
  if (globs === undefined) {
    globs = parseRepositoryGlobs(texts) ?? []
    compiledLists.set(texts, globs)
  }
  return globs.some((glob) => glob.matches(path))
}

/** The runs of components between each `**`; their number is one more than the number of `**`. */
function splitAtAnyComponents(components: readonly string[]): readonly (readonly ComponentGlob[])[] {
  const runs: ComponentGlob[][] = [[]]
  for (const component of components) {
    if (component === ANY_COMPONENTS) runs.push([])
    else runs.at(-1)?.push(component.split('*'))
  }
  return runs
}

// Both levels work alike: the first part is anchored at the start, the last at the end, and each part between takes
// its leftmost place. A later place never helps, because what may lie between is anything. So nothing is tried again.

function matchesRuns(runs: readonly (readonly ComponentGlob[])[], path: readonly string[]): boolean {
  const first = runs[0] ?? []
  if (runs.length === 1) return path.length === first.length && matchesRunAt(first, path, 0)
  const last = runs.at(-1) ?? []
  const end = path.length - last.length
  if (end < first.length) return false
  if (!matchesRunAt(first, path, 0) || !matchesRunAt(last, path, end)) return false
  let position = first.length
  for (const run of runs.slice(1, -1)) {
    while (position + run.length <= end && !matchesRunAt(run, path, position)) position++
    position += run.length
    if (position > end) return false
  }
  return true
}

function matchesRunAt(run: readonly ComponentGlob[], path: readonly string[], position: number): boolean {
  return run.every((component, i) => matchesComponent(component, path[position + i] ?? ''))
}

function matchesComponent(pieces: ComponentGlob, text: string): boolean {
  const first = pieces[0] ?? ''
  if (pieces.length === 1) return text === first
  const last = pieces.at(-1) ?? ''
  const end = text.length - last.length
  if (end < first.length || !text.startsWith(first) || !text.endsWith(last)) return false
  let position = first.length
  for (const piece of pieces.slice(1, -1)) {
    const found = text.indexOf(piece, position)
    if (found === -1 || found + piece.length > end) return false
    position = found + piece.length
  }
  return true
}
