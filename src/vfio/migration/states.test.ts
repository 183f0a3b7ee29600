import { describe, expect, test } from 'vitest';
import { EINVAL, isErrno } from '../../base/errno.ts';
import {
  isSaving,
  isSupported,
  pathBetween,
  STATE_NAMES,
  type MigrationSupport,
} from './states.ts';

const PLAIN = { p2p: false, preCopy: false };
const P2P = { p2p: true, preCopy: false };
const PRE = { p2p: false, preCopy: true };
const ALL = { p2p: true, preCopy: true };
const state = (name: string): number => STATE_NAMES.findIndex((each) => each === name);

function pathText(from: string, to: string, support: MigrationSupport): string {
  const path = pathBetween(state(from), state(to), support);
  return isErrno(path) ? path.name : path.map((each) => STATE_NAMES[each]).join(' ');
}

// One row a state, one column a target, in the order of their numbers: the way, in letters. '-' is EINVAL, '.' nowhere to go.
const LETTERS: Readonly<Record<string, string>> = {
  STOP: 'S',
  RUNNING: 'R',
  STOP_COPY: 'C',
  RESUMING: 'L',
  RUNNING_P2P: 'r',
  PRE_COPY: 'P',
  PRE_COPY_P2P: 'p',
};
const TABLES: readonly [name: string, MigrationSupport, string[]][] = [
  [
    'STOP_COPY',
    PLAIN,
    [
      '-   -   -   -   -   -   -   -',
      '-   .   R   C   L   -   -   -',
      '-   S   .   SC  SL  -   -   -',
      '-   S   SR  .   SL  -   -   -',
      '-   S   SR  SC  .   -   -   -',
    ],
  ],
  [
    'STOP_COPY and P2P',
    P2P,
    [
      '-   -   -   -   -   -   -   -',
      '-   .   rR  C   L   r   -   -',
      '-   rS  .   rSC rSL r   -   -',
      '-   S   SrR .   SL  Sr  -   -',
      '-   S   SrR SC  .   Sr  -   -',
      '-   S   R   SC  SL  .   -   -',
    ],
  ],
  [
    'STOP_COPY and PRE_COPY',
    PRE,
    [
      '-   -   -   -   -   -   -   -',
      '-   .   R   C   L   -   RP  -',
      '-   S   .   SC  SL  -   P   -',
      '-   S   SR  .   SL  -   -   -',
      '-   S   SR  SC  .   -   SRP -',
      '',
      '-   RS  R   C   RSL -   .   -',
    ],
  ],
  [
    'all',
    ALL,
    [
      '-   -    -   -   -    -   -    -',
      '-   .    rR  C   L    r   rRP  rp',
      '-   rS   .   rSC rSL  r   P    rp',
      '-   S    SrR .   SL   Sr  -    -',
      '-   S    SrR SC  .    Sr  SrRP Srp',
      '-   S    R   SC  SL   .   RP   p',
      '-   RrS  R   C   RrSL Rr  .    p',
      '-   rS   rR  C   rSL  r   P    .',
    ],
  ],
];

describe('the way from one state to another', () => {
  for (const [name, support, rows] of TABLES) {
    for (const [from, row] of rows.entries()) {
      if (row === '') continue;
      test(`of a device with ${name}, from ${STATE_NAMES[from]}`, () => {
        const got = STATE_NAMES.map((_, to) => {
          const path = pathBetween(from, to, support);
          if (isErrno(path)) return path === EINVAL ? '-' : path.name;
          return path.map((each) => LETTERS[STATE_NAMES[each]!]).join('') || '.';
        });
        expect(got).toEqual(row.split(/ +/));
      });
    }
  }
  test('is none to a state that has no number', () => {
    expect(pathBetween(state('STOP'), 8, ALL)).toBe(EINVAL);
    expect(pathBetween(state('STOP'), 0xffff_ffff, ALL)).toBe(EINVAL);
  });
  test('never begins and ends a stream on the way', () => {
    for (const from of STATE_NAMES) {
      for (const to of STATE_NAMES) {
        const path = pathBetween(state(from), state(to), ALL);
        if (!isErrno(path)) expect(path.slice(0, -1).filter(isSaving)).toEqual([]);
      }
    }
  });
  test('says in the words of the states where it goes', () => {
    expect(pathText('RUNNING', 'STOP_COPY', P2P)).toBe('RUNNING_P2P STOP STOP_COPY');
    expect(pathText('STOP_COPY', 'PRE_COPY', ALL)).toBe('EINVAL');
  });
  test('optional states are those the device says', () => {
    expect(STATE_NAMES.filter((_, n) => isSupported(n, P2P))).not.toContain('PRE_COPY_P2P');
  });
});
