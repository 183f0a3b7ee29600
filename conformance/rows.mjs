// Rows of a suite: each is tried as everybody it is for, and has a line of the table and a result (reports.mjs).
import { liveTable } from './reports.mjs';

const NOBODY = 65534;
/** What a user may lock is the business of whoever starts the programs. */
const ordinary = (who, spawn) => {
  return { who, as: 'nobody', spawn, flags: ['--memlock', '512M'] };
};

/**
 * Who runs the programs: root also as an ordinary user. `as` is what rows say they are for; the others are what spawn()
 * and `softiommu run` are given.
 */
export const USERS =
  process.getuid() === 0
    ? [
        { who: 'root', as: 'root', spawn: {}, flags: [] },
        ordinary('nobody', { uid: NOBODY, gid: NOBODY }),
      ]
    : [ordinary(`user ${process.getuid()}`, {})];

/**
 * Results of the rows that `--test` chooses: `outcome(row, user)` has the first `reason` why not, and may have
 * something `said` for the table. A row with `as` is for root or for nobody only.
 */
export async function runRows(suite, rows, outcome, { test }) {
  const chosen = rows.filter(({ name }) => !test || name.includes(test));
  console.log('');
  const line = liveTable([
    [suite, Math.max(suite.length, ...chosen.map(({ name }) => name.length))],
    ['as', 10],
    ['result', 6],
    ['figures', 14],
  ]);
  const results = [];
  for (const user of USERS) {
    for (const row of chosen.filter(({ as = user.as }) => as === user.as)) {
      const begin = Date.now();
      const { reason, said = '' } = await outcome(row, user);
      const seconds = (Date.now() - begin) / 1000;
      results.push({ suite, name: `${row.name}, as ${user.who}`, reason, seconds });
      line([row.name, user.who, reason ? 'FAILED' : 'passed', said]);
    }
  }
  return results;
}
