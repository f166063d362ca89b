/**
 * Loaded into a server with `--import` (`nodeArguments` of startBerth): SIGUSR2 then moves the process's clock ahead by
 * BERTH_TEST_CLOCK_JUMP_MS, as if that time had passed. For what happens after a minute or an hour, without waiting.
 */
const realNow = Date.now.bind(Date)
const jumpMs = Number(process.env['BERTH_TEST_CLOCK_JUMP_MS'])
let aheadMs = 0

Date.now = () => realNow() + aheadMs
process.on('SIGUSR2', () => {
  aheadMs += jumpMs
})
