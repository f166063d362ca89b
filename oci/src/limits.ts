// Every bound of this package, with its unit. Callers that need another bound pass their own.

/** Longest repository name, namespace included, in characters (distribution spec: clients may assume 255). */
export const MAX_REPOSITORY_NAME_LENGTH = 255

/** Shortest and longest project namespace, in characters. 63 keeps it usable as a DNS label. */
export const MIN_NAMESPACE_LENGTH = 2
export const MAX_NAMESPACE_LENGTH = 63

/** Longest manifest that is accepted, in bytes. The distribution spec asks for at least 4 MB. */
export const MAX_MANIFEST_SIZE_BYTES = 4 * 1024 * 1024

/** Most entries of `layers` in one image manifest. */
export const MAX_LAYERS = 4_096

/** Most entries of `manifests` in one index. */
export const MAX_INDEX_ENTRIES = 10_000

/** Longest media type inside a document, in characters. RFC 6838 allows 127 on each side of the slash. */
export const MAX_MEDIA_TYPE_LENGTH = 255

/** Longest Content-Type header that is looked at, in characters. */
export const MAX_CONTENT_TYPE_LENGTH = 1_024

/** Deepest nesting of a strictly parsed JSON document. */
export const MAX_JSON_DEPTH = 32

/** Most elements of one array in a strictly parsed JSON document. */
export const MAX_JSON_ARRAY_LENGTH = 10_000

/** Most keys of one object in a strictly parsed JSON document. */
export const MAX_JSON_OBJECT_KEYS = 10_000

/** Longest key in a strictly parsed JSON document, in characters as written. */
export const MAX_JSON_KEY_LENGTH = 1_024

/** Longest total of the keys of a strictly parsed JSON document that hold escapes or are not ASCII, in characters. */
export const MAX_JSON_UNUSUAL_KEY_LENGTH = 65_536

/** Most values in a strictly parsed JSON document. Bounds the time and memory that a few bytes of text can ask for. */
export const MAX_JSON_VALUES = 200_000

/** Most distinct scopes in one token request. */
export const MAX_SCOPES = 20

/** Longest total of all scope parameters of one token request, in bytes. */
export const MAX_SCOPE_BYTES = 8 * 1024

/** Longest Range or Content-Range header that is looked at, in characters. */
export const MAX_RANGE_HEADER_LENGTH = 128

/** Longest `last` parameter of a paged list, in characters: the longest name it can point behind. */
export const MAX_LAST_LENGTH = 255
