import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { foldKey } from './key-folding.ts'

describe('foldKey', () => {
  const same: [a: string, b: string][] = [
    ['layers', 'Layers'],
    ['layers', 'LAYERS'],
    ['layers', 'layerſ'],
    ['kind', '\u212aind'],
    ['mediaType', 'mediatype'],
    ['straße', 'STRAẞE'],
    ['σ', 'ς'],
    ['å', '\u212b'],
    ['ω', '\u2126'],
    ['𐐨', '𐐀'],
  ]
  for (const [a, b] of same) it(`${a} and ${b} are the same`, () => assert.equal(foldKey(a), foldKey(b)))

  const different: [a: string, b: string][] = [
    ['digest', 'dıgest'],
    ['digest', 'dİgest'],
    ['straße', 'strasse'],
    ['ﬁ', 'fi'],
    ['layers', 'layer'],
    ['layers', 'layers '],
    ['a.b', 'a_b'],
    ['size', 'ѕize'],
  ]
  for (const [a, b] of different) {
    it(`${a} and ${b} are different`, () => assert.notEqual(foldKey(a), foldKey(b)))
  }

  it('folds a text as it folds each of its characters', () => {
    const unit = fc.constantFrom(...Array.from('aAzZ09._kKsSſ\u212aßẞıİΣσςΑἈᾈᾀéÉ𐐀𐐨ﬁ'))
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 8 }), (text) => {
        assert.equal(foldKey(text), Array.from(text, foldKey).join(''))
        assert.equal(foldKey(foldKey(text)), foldKey(text))
      }),
      { seed: 12, numRuns: 3_000 },
    )
  })

  it('does what simple case folding does, for every character that has a case', () => {
    for (let code = 0; code <= 0x10ffff; code += 1) {
      const character = String.fromCodePoint(code)
      if (!/\p{Changes_When_Casemapped}/u.test(character)) continue
      const folded = foldKey(character)
      // The flags i and u compare by simple case folding, which is what Go's unicode.SimpleFold walks through.
      assert.match(folded, new RegExp(`^${character}$`, 'iu'))
      for (const other of [character.toLowerCase(), character.toUpperCase()]) {
        if (Array.from(other).length !== 1 || !new RegExp(`^${character}$`, 'iu').test(other)) continue
        assert.equal(foldKey(other), folded, `U+${code.toString(16)}`)
      }
    }
  })
})
