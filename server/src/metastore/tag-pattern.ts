/**
 * Whether a list of tag patterns means a tag. In a pattern `*` stands for any run of characters, the empty one
 * included; all else stands for itself. A pattern that begins with `!` takes out of the list what it matches, wherever
 * it stands: `["*", "!latest"]` is every tag but `latest`.
 */
export function matchesTagPatterns(patterns: readonly string[], tag: string): boolean {
  let isMeant = false
  for (const pattern of patterns) {
    if (pattern.startsWith('!')) {
      if (matches(pattern.slice(1), tag)) return false
    } else if (!isMeant) isMeant = matches(pattern, tag)
  }
  return isMeant
}

// The first piece is anchored at the start, the last at the end, each between takes its leftmost place: nothing is
// tried again, so no pattern is slow.
function matches(pattern: string, tag: string): boolean {
  const pieces = pattern.split('*')
  const first = pieces[0] ?? ''
  if (pieces.length === 1) return tag === first
  const last = pieces.at(-1) ?? ''
  const end = tag.length - last.length
  if (end < first.length || !tag.startsWith(first) || !tag.endsWith(last)) return false
  let position = first.length
  for (const piece of pieces.slice(1, -1)) {
    const found = tag.indexOf(piece, position)
    if (found === -1 || found + piece.length > end) return false
    position = found + piece.length
  }
  return true
}
