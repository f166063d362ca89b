import { checkBlobCommitOrder, checkDatabaseCommitOrder } from './commit-order.ts'
import type { FileFaults } from './file-faults.ts'
import type { StepWatcher } from './sweep-push.ts'

/** Checks at each acknowledged step that what it promises was on the disk before the answer left. */
export function watchCommitOrder(faults: FileFaults): StepWatcher {
  let position = 0
  return {
    before() {
      position = faults.position()
    },
    after(step, _answer, { digest }) {
      const events = faults.eventsSince(position)
      if (step === 'PUT of a large blob') checkBlobCommitOrder(events, digest)
      else if (step === 'push of a small blob' || step === 'PUT of a manifest')
        checkDatabaseCommitOrder(events)
    },
  }
}
