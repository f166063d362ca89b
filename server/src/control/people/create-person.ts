import { randomUUID } from 'node:crypto'
import { displayName } from '@berth/api/fields'
import { z } from 'zod'
import type { NewPerson } from '../../metastore/queries/person.ts'
import { MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH } from './limits.ts'
import type { People } from './people.ts'
import { normalizeEmail } from './sign-in.ts'

/** Name, e-mail address and password as a form sends them for a new account. */
export const newPersonForm = z.object({
  name: displayName,
  email: z.string().transform(normalizeEmail).pipe(z.email('is no e-mail address').max(254, 'is too long')),
  password: z
    .string()
    .min(MIN_PASSWORD_LENGTH, `needs at least ${MIN_PASSWORD_LENGTH} characters`)
    .max(MAX_PASSWORD_LENGTH, `may have ${MAX_PASSWORD_LENGTH} characters at most`),
})

export type NewPersonForm = z.output<typeof newPersonForm>

/** Makes the row of a new person; the password is hashed here. Raises `unavailable` when too many passwords wait. */
export async function preparePerson(
  people: People,
  { name, email, password }: NewPersonForm,
  isOperator: boolean,
): Promise<NewPerson> {
  return {
    id: randomUUID(),
    credentialId: randomUUID(),
    name,
    email,
    isOperator,
    passwordHash: await people.passwords.hash(password),
  }
}

const LABELS: Readonly<Record<string, string>> = {
  name: 'Name',
  email: 'E-mail address',
  password: 'Password',
}

/** What is wrong with such a form, in one line for people. */
export function describeMistakes(error: z.ZodError): string {
  const sentences = error.issues.map(
    ({ path, message }) => `${LABELS[String(path[0])] ?? 'Form'}: ${message}.`,
  )
  return [...new Set(sentences)].join(' ')
}
