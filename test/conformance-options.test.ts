/** The command line of `npm run conformance` (conformance/options.mjs). */
import { expect, test } from 'vitest';
import { readOptions } from '../conformance/options.mjs';

const SUITES = ['dpdk', 'vfio'];

test('a suite, and what is said of it', () => {
  const args = ['vfio', '--mode', 'traps', '--kills=20', '--no-explain', '--install'];
  const { suite, values } = readOptions(args, SUITES);
  expect(suite).toBe('vfio');
  const said = { mode: 'traps', kills: '20', explain: false, install: true };
  expect(values).toMatchObject(said);
  expect(readOptions(['dpdk'], SUITES).values).toMatchObject({ explain: true, install: false });
});
test.each([
  [[], 'no suite is given, and one suite is wanted'],
  [['spdk'], "'spdk' is given, and one suite is wanted"],
  [['vfio', 'dpdk'], "'vfio dpdk' is given, and one suite is wanted"],
  [['vfio', '--help'], "Unknown option '--help'"],
  [['vfio', '--mode'], "Option '--mode <value>' argument missing"],
  [['vfio', '--mode=trap'], "--mode is namespace or traps, not 'trap'"],
  [['vfio', '--pin', 'no'], "--pin is copy or exact, not 'no'"],
  [['vfio', '--kills', '0'], "--kills is a number from 1 to 999999, not '0'"],
  [['vfio', '--cycles', '1e3'], "--cycles is a number from 1 to 999999, not '1e3'"],
  [['vfio', '--junit='], "--junit is a name, not ''"],
])('%j is refused: %s', (args, message) => {
  expect(() => readOptions(args, SUITES)).toThrow(
    `${message}\nusage: npm run conformance -- {dpdk|vfio} [--install]`,
  );
});
