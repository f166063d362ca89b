import { openSqliteStack } from '../../../test/support/access/stack.ts'
import { describeCiSignIn } from './ci-sign-in-contract.ts'

describeCiSignIn('SQLite', openSqliteStack)
