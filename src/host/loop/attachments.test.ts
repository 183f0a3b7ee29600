/** Attachments to threads of ours: in what order a thread is let go of, attached to, and makes its own calls again. */
import { expect, test } from 'vitest';
import type { Handled, InThread } from '../seccomp/in-thread.ts';
import { CallBytes, Notification } from '../seccomp/notification.ts';
import { ERESTARTNOINTR, HOST_ERRNO, NR, PTRACE } from '../sys/numbers.ts';
import { Attachments } from './attachments.ts';
import type { MmioBackend } from './backends.ts';

const THREAD = 100;

function callOf(tid: number, nr: number, ...args: readonly number[]): Notification {
  const bytes = Buffer.alloc(80);
  bytes.writeUInt32LE(tid, 8);
  bytes.writeInt32LE(nr, 16);
  args.forEach((arg, n) => bytes.writeBigUInt64LE(BigInt(arg), 32 + 8 * n));
  return new Notification(new CallBytes(bytes));
}

/** A loop in which the thread leaves when it is told to. */
function rig({ traced, busy }: { readonly traced: boolean; readonly busy: boolean }) {
  const answered: { readonly call: Notification; readonly handled: Handled }[] = [];
  const lent: number[] = [];
  const stayed: { readonly tid: number; readonly call: Notification | undefined }[] = [];
  const left: ((held?: Buffer) => void)[] = [];
  const ended = new Set<number>();
  const mmio: Pick<MmioBackend, 'lend' | 'release' | 'isTraced'> = {
    isTraced: () => true,
    lend: (tid) => void lent.push(tid),
    release: (_tid, done) => {
      if (traced) left.push(done);
      return traced;
    },
  };
  const attachments = new Attachments({
    // cast: nothing else of it is asked
    mmio: mmio as MmioBackend,
    answer: (call, handled) => void answered.push({ call, handled }),
    takeHeld: () => undefined,
    stay: (tid, _regs, call) => void stayed.push({ tid, call }),
    hasEnded: (tid) => ended.has(tid),
    hurry: (_tid, gone) => {
      if (busy) left.push(gone);
      return busy;
    },
  });
  const leave = (held?: Buffer): void => left.splice(0).forEach((run) => run(held));
  /** The tracer's thread makes its request. */
  const attached = (result: number): void => {
    const { run } = answered.shift()!.handled as InThread;
    const script = run(0);
    script.next();
    script.next(result);
  };
  return { attachments, answered, lent, stayed, leave, attached, ended };
}
const attachment = (request: number): Notification => callOf(200, NR.ptrace, request, THREAD);
const todo: InThread = { run: () => ({}) as ReturnType<InThread['run']>, otherwise: () => 0 };

test('a thread that is none of ours is the affair of the host', () => {
  const { attachments } = rig({ traced: false, busy: false });
  expect(attachments.attach(attachment(PTRACE.attach))).toBe('continue');
  expect(attachments.isLeaving(THREAD)).toBe(false);
});

test('a thread that is about to be attached to is EPERM for another tracer', () => {
  const { attachments, leave, attached } = rig({ traced: true, busy: false });
  expect(attachments.attach(attachment(PTRACE.attach))).toBe('answered');
  expect(attachments.attach(attachment(PTRACE.seize))).toBe(-HOST_ERRNO.EPERM);
  leave();
  expect(attachments.attach(attachment(PTRACE.seize))).toBe(-HOST_ERRNO.EPERM);
  attached(0);
  expect(attachments.attach(attachment(PTRACE.seize))).toBe('answered');
});

test.for([
  ['ATTACH, by whose SIGSTOP it is made again', PTRACE.attach, 0, -ERESTARTNOINTR],
  ['SEIZE, through the new tracer', PTRACE.seize, 0, todo],
  ['an ATTACH that was refused', PTRACE.attach, -HOST_ERRNO.EPERM, todo],
] as const)('what a thread does in between comes after %s', ([, request, result, handled]) => {
  const { attachments, answered, attached, leave, lent } = rig({ traced: true, busy: true });
  const call = callOf(THREAD, NR.chdir);
  attachments.attach(attachment(request));
  expect(attachments.postpone(call, todo)).toBeUndefined(); // still ours
  leave();
  expect(attachments.postpone(call, todo)).toBe('answered');
  attached(result);
  expect(answered).toEqual([{ call, handled }]);
  expect(lent).toEqual([THREAD]);
});

test('a thread that only made calls for us is not looked after when its tracer ends', () => {
  const { attachments, attached, leave, lent } = rig({ traced: false, busy: true });
  expect(attachments.attach(attachment(PTRACE.attach))).toBe('answered');
  leave();
  attached(0);
  expect(lent).toEqual([]);
});

test('a thread that is held back waits for us in a call, and stays there where the attachment is refused', () => {
  const { attachments, leave, attached, stayed } = rig({ traced: true, busy: false });
  attachments.attach(attachment(PTRACE.attach));
  const waiting = callOf(THREAD, NR.ptrace, PTRACE.detach, THREAD);
  expect(attachments.wait(waiting)).toBeUndefined();
  leave(Buffer.alloc(8));
  expect([attachments.isUnderWay(), attachments.wait(waiting)]).toEqual([true, 'answered']);
  attached(-HOST_ERRNO.EPERM);
  expect([attachments.isUnderWay(), stayed]).toEqual([false, [{ tid: THREAD, call: waiting }]]);
});

test.for([
  ['before it has begun', 0],
  ['in the middle of it', 1],
] as const)('a tracer that is killed %s leaves nothing under way', ([, steps]) => {
  const { attachments, answered, ended, lent, leave, stayed } = rig({ traced: true, busy: false });
  attachments.attach(attachment(PTRACE.seize));
  leave(Buffer.alloc(8));
  const waiting = callOf(THREAD, NR.getpid);
  expect([attachments.wait(waiting), attachments.isUnderWay()]).toEqual(['answered', true]);
  const script = (answered.shift()!.handled as InThread).run(0);
  for (let n = 0; n < steps; n++) script.next();
  script.return(0);
  ended.add(200);
  expect([attachments.isUnderWay(), attachments.isLeaving(THREAD)]).toEqual([false, false]);
  expect([lent, stayed]).toEqual([[THREAD], [{ tid: THREAD, call: waiting }]]);
});
