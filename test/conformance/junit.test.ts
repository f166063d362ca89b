// @stacks sqlite-fs
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseJunit } from './junit.ts'

test('cases are read with their paths, outcomes and what they say', () => {
  const xml = `<testsuites tests="3"><testsuite name="Suite" tests="3">
    <properties><property name="Config" value="a &lt;testcase name=&#34;x&#34;&gt;"></property></properties>
    <testcase name="Suite/blobs/mount/blob-mount" classname="" time="0.1" status="passed"><system-err>GET &lt;testcase&gt;</system-err></testcase>
    <testcase name="Suite/empty/tag list" classname="" status="skipped"></testcase>
    <testcase name="Suite/a &amp; b" classname="" status="failure">
      <system-out>expected &#34;201&#34;,&#xA;received 202</system-out>
    </testcase>
  </testsuite></testsuites>`
  assert.deepEqual(parseJunit(xml), [
    { name: 'blobs/mount/blob-mount', status: 'passed', output: '' },
    { name: 'empty/tag list', status: 'skipped', output: '' },
    { name: 'a & b', status: 'failure', output: 'expected "201",\nreceived 202' },
  ])
})

test('a case without an outcome is an error, never a pass', () => {
  assert.throws(() => parseJunit('<testcase name="Suite/x"></testcase>'), /not a case/)
  assert.throws(() => parseJunit('<testcase name="Suite/x" status="fine"/>'), /not a case/)
})
