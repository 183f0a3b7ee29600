/** Where programs under test are run from, which other users than the tests' own can enter too. */
import { statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export const CHECKOUT = join(import.meta.dirname, '../..');
/** What programs under test are run from: the checkout, or a copy where other users cannot enter it. */
export const PROJECT = everybodyMayEnter(CHECKOUT)
  ? CHECKOUT
  : join(tmpdir(), `checkout-${statSync(CHECKOUT).ino}-of-softiommu`);
export const DIST = join(PROJECT, '.cache/dist');
export const MAIN = join(DIST, 'cli/main.js');

function everybodyMayEnter(dir: string): boolean {
  const above = dirname(dir);
  return (statSync(dir).mode & 0o005) === 0o005 && (above === dir || everybodyMayEnter(above));
}
