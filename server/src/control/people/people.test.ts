import { openTestConsole } from '../../../../test/support/console/stack.ts'
import { describeAccount } from './account-contract.ts'
import { describeSignIn } from './sign-in-contract.ts'
import { describeUpkeep } from './upkeep-contract.ts'

describeSignIn('SQLite', openTestConsole)
describeAccount('SQLite', openTestConsole)
describeUpkeep('SQLite', openTestConsole)
