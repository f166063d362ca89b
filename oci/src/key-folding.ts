/**
 * A form that two texts share when Go's encoding/json takes them for the same object key. It compares keys under
 * Unicode simple case folding, so `ſize` (U+017F) and `SIZE` both fill the field `size`. A character whose upper
 * case is several characters has no simple upper case and is kept; so is the dotless i, which folds in Turkic
 * languages only.
 */
export function foldKey(key: string): string {
  return isAscii(key) ? key.toLowerCase() : Array.from(key, foldCharacter).join('')
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i += 1) if (text.charCodeAt(i) > 0x7f) return false
  return true
}

function foldCharacter(character: string): string {
  if (character === 'ı') return character
  const upper = single(character.toUpperCase(), character)
  return single(upper.toLowerCase(), upper)
}

function single(mapped: string, original: string): string {
  return [...mapped].length === 1 ? mapped : original
}
