/**
 * A form that two texts share when Go's encoding/json takes them for the same object key. It compares keys under
 * Unicode simple case folding, so `ſize` (U+017F) and `SIZE` both fill the field `size`. A character whose upper
 * case is several characters has no simple upper case and is kept; so is the dotless i, which folds in Turkic
 * languages only.
 */
export function foldKey(key: string): string {
  switch (kindOf(key)) {
    case 'folded':
      return key
    case 'ascii':
      return key.toLowerCase()
    case 'other':
      return foldWhole(key) ?? Array.from(key, foldCharacter).join('')
  }
}

function kindOf(key: string): 'folded' | 'ascii' | 'other' {
  let kind: 'folded' | 'ascii' = 'folded'
  for (let i = 0; i < key.length; i += 1) {
    const code = key.charCodeAt(i)
    if (code > 0x7f) return 'other'
    if (code >= 0x41 && code <= 0x5a) kind = 'ascii'
  }
  return kind
}

/**
 * The same as folding each character, at the speed of the engine's own case mapping, or null where a character
 * has no simple mapping: the length tells, because mappings only ever grow. Whole words put the final sigma back.
 */
function foldWhole(key: string): string | null {
  if (key.includes('ı')) return null
  const lower = key.toUpperCase().toLowerCase()
  return lower.length === key.length ? lower.replaceAll('ς', 'σ') : null
}

function foldCharacter(character: string): string {
  if (character === 'ı') return character
  const upper = character.toUpperCase()
  const simple = upper.length === character.length ? upper : character
  const lower = simple.toLowerCase()
  return lower.length === simple.length ? lower : simple
}
