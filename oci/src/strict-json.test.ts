import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { objectShape } from './json-shape.ts'
import { parseStrictJson, type StrictJsonOptions } from './strict-json.ts'

function parse(text: string, options?: StrictJsonOptions) {
  return parseStrictJson(Buffer.from(text), options)
}

function reason(text: string, options?: StrictJsonOptions): string {
  const result = parse(text, options)
  assert.equal(result.ok, false, text.slice(0, 100))
  return result.ok ? '' : result.reason
}

const LAYER = objectShape({ digest: 'any', size: 'integer', annotations: 'map' })
const SHAPE = objectShape({
  schemaVersion: 'integer',
  mediaType: 'any',
  layers: LAYER,
  config: LAYER,
  annotations: 'map',
})

describe('parseStrictJson accepts', () => {
  const documents = [
    '{}',
    '[]',
    ' \t\r\n{ "a" : [ 1 , 2 ] }\n',
    'null',
    'true',
    'false',
    '"x"',
    '0',
    '-0',
    '-1.5e-3',
    '1E+5',
    '1e300',
    '9007199254740991',
    '-9007199254740991',
    '0.1',
    '""',
    '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\ud83d\\ude00"',
    '"\u007f\u0080\u2028\ufeff\uffff😀"',
    '{"":{"":1}}',
    '{"a":1,"b":1,"ab":1}',
    '{"__proto__":{"x":1},"constructor":1,"toString":2}',
    '[[],{},[[]]]',
  ]
  for (const text of documents) {
    it(text, () => assert.deepEqual(parse(text), { ok: true, value: JSON.parse(text) }))
  }
})

describe('parseStrictJson refuses what is no JSON', () => {
  const documents: [text: string, pattern: RegExp][] = [
    ['', /document ends where a value/],
    [' ', /document ends/],
    ['{', /document ends where a key/],
    ['[', /document ends where a value/],
    ['{}{}', /after the end/],
    ['{}x', /after the end/],
    ['[]]', /after the end/],
    ['1 2', /after the end/],
    ['{} \0', /after the end/],
    ['[1,]', /a value is expected, not "\]"/],
    ['[,1]', /a value is expected/],
    ['[1 2]', /, is expected/],
    ['[1}', /, is expected/],
    ['{"a":1,}', /a key in double quotes is expected/],
    ['{,"a":1}', /a key/],
    ['{"a" 1}', /: is expected/],
    ['{"a":}', /a value/],
    ['{"a":1]', /, is expected/],
    ['{a:1}', /a key/],
    ["{'a':1}", /a key/],
    ['{1:1}', /a key/],
    ['// x\n{}', /a value/],
    ['{}/**/', /after the end/],
    ['NaN', /a value/],
    ['Infinity', /a value/],
    ['-Infinity', /a number/],
    ['undefined', /a value/],
    ['tru', /a value/],
    ['True', /a value/],
    ['nullx', /after the end/],
    ['01', /after the end/],
    ['-', /a number/],
    ['-01', /after the end/],
    ['+1', /a value/],
    ['.5', /a value/],
    ['1.', /after the end/],
    ['1e', /after the end/],
    ['0x10', /after the end/],
    ['[1.]', /, is expected/],
    ['"a', /document ends/],
    ['"a\\', /unknown escape/],
    ['"\\x41"', /unknown escape/],
    ['"\\v"', /unknown escape/],
    ['"\\u12"', /unknown escape/],
    ['"\\u00g0"', /unknown escape/],
    ['"\\U0041"', /unknown escape/],
    ['"a\nb"', /control character/],
    ['"a\tb"', /control character/],
    ['"\0"', /control character/],
    ['{"a\u001f":1}', /control character/],
    ['\v{}', /a value/],
    ['\f{}', /a value/],
    ['\u00a0{}', /a value/],
    ['\u2003{}', /a value/],
  ]
  for (const [text, pattern] of documents) it(JSON.stringify(text), () => assert.match(reason(text), pattern))
})

describe('parseStrictJson refuses what readers take differently', () => {
  const documents: [name: string, text: string, pattern: RegExp][] = [
    ['byte order mark', '\ufeff{}', /a value is expected/],
    ['duplicate key', '{"a":1,"a":1}', /duplicate key "a" at a/],
    ['duplicate key by escape', '{"a":1,"\\u0061":1}', /duplicate key "a"/],
    ['duplicate empty key', '{"":1,"":1}', /duplicate key ""/],
    ['duplicate __proto__', '{"__proto__":1,"__proto__":1}', /duplicate key/],
    ['duplicate deep down', '[{"a":[{"b":1,"b":2}]}]', /duplicate key "b" at \[0\]\.a\[0\]\.b/],
    ['keys that differ in ASCII case', '{"key":1,"Key":1}', /"key" and "Key" differ only in case/],
    ['keys that differ in long s', '{"size":1,"\u017fize":1}', /differ only in case/],
    ['keys that differ in an escaped Kelvin sign', '{"kind":1,"\\u212aind":1}', /differ only in case/],
    ['lone high surrogate', '"\\ud83d"', /lone surrogate/],
    ['lone low surrogate', '"\\ude00"', /lone surrogate/],
    ['surrogates in the wrong order', '"\\ude00\\ud83d"', /lone surrogate/],
    ['high surrogate before a letter', '"\\ud83dx\\ude00"', /lone surrogate/],
    ['two high surrogates', '"\\ud83d\\ud83d\\ude00"', /lone surrogate/],
    ['two low surrogates', '"\\ude00\\ude00"', /lone surrogate/],
    ['high surrogate before what lies above the low ones', '"\\ud83d\\ue000"', /lone surrogate/],
    ['lone surrogate in a key', '{"\\ud83d":1}', /lone surrogate/],
    ['escaped NUL', '"\\u0000"', /NUL/],
    ['integer beyond 2^53-1', '9007199254740992', /beyond 2\^53-1/],
    ['negative integer beyond 2^53-1', '-9007199254740993', /beyond 2\^53-1/],
    ['very long integer', '1'.repeat(400), /out of range/],
    ['number beyond a double', '1e400', /out of range/],
    ['negative number beyond a double', '[-1e400]', /out of range/],
  ]
  for (const [name, text, pattern] of documents) it(name, () => assert.match(reason(text), pattern))

  const notUtf8: [name: string, bytes: number[]][] = [
    ['lone continuation byte', [0x22, 0x80, 0x22]],
    ['overlong slash', [0x22, 0xc0, 0xaf, 0x22]],
    ['encoded surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['beyond U+10FFFF', [0x22, 0xf4, 0x90, 0x80, 0x80, 0x22]],
    ['cut sequence', [0x22, 0xe2, 0x82, 0x22]],
    ['latin-1', [0x22, 0xe9, 0x22]],
    ['UTF-16', [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]],
  ]
  for (const [name, bytes] of notUtf8) {
    it(name, () => {
      assert.deepEqual(parseStrictJson(Uint8Array.from(bytes)), {
        ok: false,
        reason: 'the document is not valid UTF-8',
      })
    })
  }
})

describe('parseStrictJson with a shape', () => {
  const refused: [name: string, text: string, pattern: RegExp][] = [
    ['Layers alone', '{"Layers":[]}', /"Layers" must be written "layers"/],
    ['mediatype', '{"mediatype":"x"}', /must be written "mediaType"/],
    ['long s', '{"layer\u017f":[]}', /must be written "layers"/],
    [
      'field of an array element',
      '{"layers":[{},{"Digest":1}]}',
      /must be written "digest" at layers\[1\]\.Digest/,
    ],
    ['field of a nested object', '{"config":{"SIZE":1}}', /must be written "size"/],
    ['fraction for an integer', '{"layers":[{"size":1.0}]}', /plain integer at layers\[0\]\.size/],
    ['exponent for an integer', '{"schemaVersion":2e0}', /plain integer/],
    ['minus zero for an integer', '{"schemaVersion":-0}', /plain integer/],
    ['a field after annotations', '{"annotations":{},"config":{"Size":1}}', /must be written "size"/],
    ['a field after an array', '{"layers":[],"config":{"Size":1}}', /must be written "size"/],
    ['duplicate annotation', '{"annotations":{"a":"1","a":"2"}}', /duplicate key "a" at annotations\.a/],
    ['case variants in an unknown field', '{"x":{"a":1,"A":2}}', /differ only in case/],
  ]
  for (const [name, text, pattern] of refused) {
    it(`refuses ${name}`, () => assert.match(reason(text, { shape: SHAPE }), pattern))
  }

  const accepted: [name: string, text: string][] = [
    ['annotations that differ in case', '{"annotations":{"a":"1","A":"2"}}'],
    ['annotations called as fields', '{"annotations":{"Layers":"1","Size":"2"}}'],
    ['annotations after a field', '{"config":{"size":1},"annotations":{"Size":"1"}}'],
    ['annotations of a descriptor', '{"layers":[{"annotations":{"Digest":"x"}}]}'],
    ['case variants of fields that belong elsewhere', '{"Digest":1,"layers":[{"Layers":1}]}'],
    ['fields in an unknown field', '{"x":{"Layers":1}}'],
    ['a fraction elsewhere', '{"x":1.5}'],
  ]
  for (const [name, text] of accepted) {
    it(`accepts ${name}`, () =>
      assert.deepEqual(parse(text, { shape: SHAPE }), { ok: true, value: JSON.parse(text) }))
  }
})

describe('parseStrictJson bounds', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  const keys = (count: number) => `{${Array.from({ length: count }, (_, i) => `"k${i}":0`).join()}}`

  it('depth', () => {
    assert.equal(parse(nested(32)).ok, true)
    assert.match(reason(nested(33)), /nested deeper than 32/)
    assert.match(reason('{"a":'.repeat(33)), /nested deeper/)
    assert.match(reason('['.repeat(4_000_000)), /nested deeper/)
    assert.equal(parse('[[[]]]', { maxDepth: 3 }).ok, true)
    assert.match(reason('[[[]]]', { maxDepth: 2 }), /deeper than 2/)
  })
  it('array length', () => {
    assert.equal(parse(JSON.stringify(Array.from({ length: 10_000 }, () => 0))).ok, true)
    assert.match(reason(JSON.stringify(Array.from({ length: 10_001 }, () => 0))), /more than 10000 elements/)
  })
  it('keys of an object', () => {
    assert.equal(parse(keys(100), { maxObjectKeys: 100 }).ok, true)
    assert.match(reason(keys(101), { maxObjectKeys: 100 }), /more than 100 keys/)
  })
  it('values of a document', () => {
    assert.equal(parse('[[0],[0]]', { maxValues: 5 }).ok, true)
    assert.match(reason('[[0],[0]]', { maxValues: 4 }), /more than 4 values/)
  })
  it('finds a duplicate among many keys', () => {
    for (const count of [1, 11, 12, 13, 14, 5_000]) {
      assert.match(reason(`${keys(count).slice(0, -1)},"k0":0}`), /duplicate key "k0"/)
      assert.match(reason(`${keys(count).slice(0, -1)},"K${count - 1}":0}`), /differ only in case/)
    }
  })
  it('forgets the keys of an object when it ends', () => {
    assert.equal(parse(`[${keys(20)},${keys(20)},{"a":{"a":{"a":1}}},{"a":1}]`).ok, true)
  })
  it('length of a key', () => {
    assert.equal(parse(`{"${'k'.repeat(1_024)}":0}`).ok, true)
    assert.match(reason(`{"${'k'.repeat(1_025)}":0}`), /a key is longer than 1024/)
  })
  it('length of all keys with escapes or beyond ASCII', () => {
    for (const key of ['\\u0041', '\u00e9']) {
      const text = JSON.stringify(Array.from({ length: 100 }, () => ({ k: 0 }))).replaceAll('k', key)
      const total = 100 * (key.length + 2)
      assert.equal(parse(text, { maxUnusualKeyLength: total }).ok, true)
      assert.match(reason(text, { maxUnusualKeyLength: total - 1 }), /beyond ASCII have more than/)
    }
    assert.equal(parse('[{"k":0},{"k":0}]', { maxUnusualKeyLength: 0 }).ok, true)
  })
  it('keeps reasons short and printable', () => {
    const text = `{"${'\\u0007\\n\u202e'.repeat(100)}":1,"x":{"${'y'.repeat(1_000)}":!`
    assert.match(reason(text), /^[^\p{Cc}]{1,300}$/u)
    assert.match(reason(`{"${'z'.repeat(1_000)}":1,"${'Z'.repeat(1_000)}":1}`), /^[^\p{Cc}]{1,400}$/u)
  })
})

describe('parseStrictJson and JSON.parse', () => {
  // Keys that no case folding joins, so that whatever fast-check makes of them is acceptable.
  const key = fc.stringMatching(/^[a-z0-9_.-]{0,6}$/)
  const text = fc.string({ unit: 'grapheme', maxLength: 10 }).filter((value) => !value.includes('\0'))
  const number = fc.oneof(fc.maxSafeInteger(), fc.double({ noNaN: true, noDefaultInfinity: true }))
  const { document } = fc.letrec<{ document: unknown }>((tie) => ({
    document: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom(null, true, false),
      number.filter((value) => !Number.isInteger(value) || Number.isSafeInteger(value)),
      text,
      fc.array(tie('document'), { maxLength: 5 }),
      fc.dictionary(key, tie('document'), { maxKeys: 15 }),
    ),
  }))

  it('agree on valid documents, whatever the white space', () => {
    const property = fc.property(document, fc.constantFrom(0, 1, '\t', ' \r\n'), (value, space) => {
      const json = JSON.stringify(value, null, space)
      assert.deepEqual(parse(json), { ok: true, value: JSON.parse(json) })
    })
    fc.assert(property, { seed: 7, numRuns: 1_000 })
  })

  it('agree on escapes', () => {
    const codeUnit = fc.oneof(
      fc.constantFrom('\ud83d', '\ude00'),
      fc.nat(0xffff).map((unit) => String.fromCharCode(unit)),
    )
    const property = fc.property(fc.string({ unit: codeUnit, maxLength: 10 }), (value) => {
      const units = value.split('')
      const json = `"${units.map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`
      const expected = value.isWellFormed() && !value.includes('\0')
      assert.deepEqual(parse(json).ok, expected)
    })
    fc.assert(property, { seed: 8, numRuns: 1_000 })
  })

  it('what one accepts after damage, the other accepts too, with the same value', () => {
    const change = fc.tuple(
      fc.nat(10_000),
      fc.constantFrom(...'{}[]",:\\u0e-+. \n\ta1\0'.split('')),
      fc.boolean(),
    )
    const property = fc.property(
      document,
      fc.array(change, { minLength: 1, maxLength: 3 }),
      (value, changes) => {
        let json = JSON.stringify(value)
        for (const [at, character, insert] of changes) {
          const position = at % (json.length + 1)
          json = json.slice(0, position) + character + json.slice(position + (insert ? 0 : 1))
        }
        // Damage may have cut a surrogate pair, which no UTF-8 can carry.
        json = json.toWellFormed()
        const strict = parse(json)
        const loose = looseParse(json)
        if (strict.ok) assert.deepEqual(strict.value, loose.value)
        // The other way round only the refusals that go beyond the grammar may differ.
        else if (loose.ok)
          assert.match(strict.reason, /duplicate|case|surrogate|NUL|2\^53|out of range|UTF-8/)
      },
    )
    fc.assert(property, { seed: 9, numRuns: 5_000 })
  })

  it('finds a key written twice, in any case, wherever it is', () => {
    const property = fc.property(
      fc.dictionary(key, fc.constant(0), { minKeys: 1, maxKeys: 30 }),
      fc.nat(29),
      fc.boolean(),
      (object, at, upper) => {
        const names = Object.keys(object)
        const name = names[at % names.length] as string
        const members = [...names, upper ? name.toUpperCase() : name].map((one) => `${JSON.stringify(one)}:0`)
        assert.match(reason(`{${members.join()}}`), /duplicate key|differ only in case/)
      },
    )
    fc.assert(property, { seed: 10, numRuns: 500 })
  })
})

function looseParse(json: string): { ok: boolean; value: unknown } {
  try {
    return { ok: true, value: JSON.parse(json) }
  } catch {
    return { ok: false, value: undefined }
  }
}
