/** A project's id: 12 characters of lower-case base32, random. Never reused. */
export type ProjectId = string & { readonly __brand: 'ProjectId' }
