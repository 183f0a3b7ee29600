/** Descriptors that a thread has for a script: made when it is had, and closed after everything the script can do. */
import { expect, test } from 'vitest';
import { ENFILE } from '../../base/errno.ts';
import { Shortage } from '../../base/shortage.ts';
import * as libc from '../sys/libc.ts';
import { HOST_ERRNO, NR } from '../sys/numbers.ts';
import { HandedOver } from './handed-over.ts';
import { ours, wholeScript, type InjectedCall, type InThread } from './in-thread.ts';
import { CallBytes, Notification, type FdInstaller } from './notification.ts';

const THEIRS = 17;
const call = new Notification(new CallBytes());
const transport: FdInstaller = { addFd: () => THEIRS };
const CLOSE: InjectedCall = { nr: NR.close, args: [THEIRS] };

/** The calls of a thread that is given what it needs, and the result. */
function carryOut(todo: InThread, installer = transport) {
  for (const hand of todo.hands ?? []) hand.give(installer, call);
  const script = wholeScript(todo, 1);
  const calls: InjectedCall[] = [];
  for (let step = script.next(0); ; step = script.next(0)) {
    if (step.done) return { calls, result: step.value };
    calls.push(step.value);
  }
}
function openHere(): number {
  const ends = libc.socketpair();
  if (typeof ends === 'number') throw new Error('no sockets');
  libc.close(ends[1]);
  return ends[0];
}
const otherwise = () => 0;

test('it is made, given and closed here, and closed there at the end of the script', () => {
  let [made, given] = [-1, 0];
  const hand = new HandedOver(
    () => (made = openHere()),
    () => given++,
  );
  expect([hand.fd, made]).toEqual([-HOST_ERRNO.EBADF, -1]);
  const run = () => ours(NR.fchdir, hand.fd);
  const { calls } = carryOut({ hands: [hand], run, otherwise });
  expect(calls).toEqual([{ nr: NR.fchdir, args: [THEIRS] }, CLOSE]);
  expect([given, libc.readlink(`/proc/self/fd/${made}`)]).toEqual([1, -HOST_ERRNO.ENOENT]);
});
test('it is closed there also where the script ends in the middle, and where it fails', () => {
  const hands = [new HandedOver(openHere)];
  const early = carryOut({
    hands,
    *run() {
      return 5;
    },
    otherwise,
  });
  expect(early).toEqual({ calls: [CLOSE], result: 5 });
  const shortage = new Shortage(ENFILE, 'none is left');
  const script = wholeScript(
    {
      hands,
      *run() {
        throw shortage;
      },
      otherwise,
    },
    1,
  );
  hands[0]!.give(transport, call);
  expect(script.next(0).value).toEqual(CLOSE);
  expect(() => script.next(0)).toThrow(shortage);
});
test('what the program keeps is not closed', () => {
  const hand = new HandedOver(openHere);
  const { calls, result } = carryOut({
    hands: [hand],
    *run() {
      return hand.keep();
    },
    otherwise,
  });
  expect([calls, result]).toEqual([[], THEIRS]);
});
test.for<[string, () => number, FdInstaller, number]>([
  ['we have no file for it', () => -HOST_ERRNO.EACCES, transport, -HOST_ERRNO.EACCES],
  [
    'we have no descriptor',
    () => {
      throw new Shortage(ENFILE, 'none is left');
    },
    transport,
    -HOST_ERRNO.ENFILE,
  ],
  ['the program has none', openHere, { addFd: () => -HOST_ERRNO.EMFILE }, -HOST_ERRNO.EMFILE],
])('where %s there is none, and nothing to close', ([, make, installer, errno]) => {
  const hand = new HandedOver(make, () => expect.unreachable());
  const run = function* () {
    return hand.fd;
  };
  expect(carryOut({ hands: [hand], run, otherwise }, installer)).toEqual({
    calls: [],
    result: errno,
  });
});
