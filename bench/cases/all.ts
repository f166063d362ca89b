import type { Case } from '../case.ts'
import { concurrentPush } from './concurrent-push.ts'
import { consoleLists } from './console-lists.ts'
import { idle } from './idle.ts'
import { manifests } from './manifests.ts'
import { mount } from './mount.ts'
import { pull } from './pull.ts'
import { pushCases } from './push.ts'
import { rePush } from './re-push.ts'
import { smallImageCases } from './small-images.ts'
import { tags } from './tags.ts'

/** Every case, in the order of the report. */
export const allCases: readonly Case[] = [
  ...pushCases,
  pull,
  manifests,
  ...smallImageCases,
  tags,
  consoleLists,
  mount,
  rePush,
  concurrentPush,
  idle,
]
