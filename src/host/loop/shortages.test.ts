/** What the wait loop does with work that the host has too little for. */
import { expect, test } from 'vitest';
import { ENFILE, ENOMEM, ENOSPC } from '../../base/errno.ts';
import { Shortage } from '../../base/shortage.ts';
import { notShort, EPOLL_WATCHES, notShortOfWatches, shortageOf } from '../sys/shortage.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';
import { Shortages } from './shortages.ts';

function scene() {
  const said: string[] = [];
  return { said, shortages: new Shortages((text) => said.push(text)) };
}
const short = new Shortage(ENFILE, 'nothing is left');

test('work that comes once is tried until there is enough for it, and then no more', () => {
  const { said, shortages } = scene();
  let missing = 2;
  let done = 0;
  shortages.untilEnough(() => {
    if (missing-- > 0) throw short;
    done++;
  });
  expect([shortages.any, done]).toEqual([true, 0]);
  shortages.retry();
  expect([shortages.any, done]).toEqual([true, 0]);
  shortages.retry();
  expect([shortages.any, done]).toEqual([false, 1]);
  shortages.retry();
  expect(done).toBe(1);
  expect(said).toEqual(['nothing is left', 'nothing is left']);
});

test('a call ends with the errno of the shortage, and a bug stays one', () => {
  const { said, shortages } = scene();
  expect(shortages.answer(short)).toBe(-HOST_ERRNO.ENFILE);
  expect(shortages.answer(new Error('a bug'))).toBeUndefined();
  expect(said).toEqual(['nothing is left']);
  const bug = (): never => {
    throw new Error('a bug');
  };
  expect(() => shortages.ifEnough(bug)).toThrow('a bug');
  expect(shortages.any).toBe(false);
});

test.for([
  ['EMFILE', ENFILE],
  ['ENFILE', ENFILE],
  ['ENOMEM', ENOMEM],
  ['ENOSPC', ENOSPC],
  ['EDQUOT', ENOSPC],
] as const)('%s of ours, as node:fs tells it, is %s for a program', ([code, errno]) => {
  expect(shortageOf(Object.assign(new Error('open'), { code }))?.errno).toBe(errno);
});

test('what the host answers to a call of ours is a shortage only when it is one', () => {
  const { EMFILE, ENOENT, ENOSPC: full } = HOST_ERRNO;
  expect(() => notShort(-EMFILE)).toThrow(/ulimit -n/);
  expect(() => notShortOfWatches(-full, EPOLL_WATCHES)).toThrow(/epoll.max_user_watches/);
  expect([notShort(-ENOENT), notShort(-full), notShort(7)]).toEqual([-ENOENT, -full, 7]);
});
