/** The rule of access(2) and open(2), class by class. */
import { expect, test } from 'vitest';
import { EACCES } from '../../base/errno.ts';
import { CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH } from '../../base/task.ts';
import { isPermitted, MAY_EXEC, MAY_READ, MAY_WRITE, permission, type Cred } from './rights.ts';

const R = MAY_READ;
const W = MAY_WRITE;
const X = MAY_EXEC;

function cred(uid: number, gid: number, groups: number[] = [], ...caps: number[]): Cred {
  return { uid, gid, groups, capable: (cap) => caps.includes(cap) };
}
const owner = cred(1, 9);
const member = cred(8, 2);
const alsoMember = cred(8, 9, [7, 2]);
const other = cred(8, 9);
/** Root of a machine is who has the capabilities; the number alone gives nothing. */
const zero = cred(0, 0);
const overrides = cred(8, 9, [], CAP_DAC_OVERRIDE);
const searches = cred(8, 9, [], CAP_DAC_READ_SEARCH);

const file = (mode: number) => ({ uid: 1, gid: 2, mode, isDirectory: false });
const directory = (mode: number) => ({ ...file(mode), isDirectory: true });

test.for([
  ['the owner has the first three bits', owner, file(0o600), R | W, true],
  ['and only those, be the others as they may', owner, file(0o077), R, false],
  ['the group has the next', member, file(0o060), R | W, true],
  ['also as one of several', alsoMember, file(0o060), R | W, true],
  ['and only those', member, file(0o607), R, false],
  ['others have the last', other, file(0o006), R | W, true],
  ['and only those', other, file(0o660), R, false],
  ['all that is wanted must be there', other, file(0o664), R | W, false],
  ['nothing wanted is always given', other, file(0), 0, true],
  ['the number 0 without capabilities is another', zero, file(0o660), R, false],
  ['CAP_DAC_OVERRIDE reads and writes', overrides, file(0), R | W, true],
  ['but runs nothing that nobody runs', overrides, file(0o666), X, false],
  ['and runs what somebody does', overrides, file(0o100), X, true],
  ['and searches every directory', overrides, directory(0), R | W | X, true],
  ['CAP_DAC_READ_SEARCH reads', searches, file(0), R, true],
  ['but writes nothing', searches, file(0), R | W, false],
  ['nor runs', searches, file(0o700), X, false],
  ['and searches and lists directories', searches, directory(0), R | X, true],
  ['but changes none', searches, directory(0o700), W, false],
] as const)('%s', ([, who, of, want, may]) => {
  expect(isPermitted(of, who, want)).toBe(may);
  expect(permission(of, who, want)).toBe(may ? undefined : EACCES);
});

test('credentials are asked only where the bits do not decide', () => {
  const never = (): never => {
    throw new Error('asked');
  };
  const unknown: Cred = {
    get uid() {
      return never();
    },
    get gid() {
      return never();
    },
    get groups() {
      return never();
    },
    capable: never,
  };
  expect(permission(directory(0o755), unknown, X)).toBeUndefined();
  expect(permission(file(0o444), unknown, R)).toBeUndefined();
});
