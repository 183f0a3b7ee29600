import { expect, test } from 'vitest';
import { EINVAL } from './errno.ts';
import type { Choice } from './hearing.ts';
import { KernelEnv } from './kernel-env.ts';
import { listening, refuse, silently, type Refusal } from './refuse.ts';
import type { CallInfo, Stamped, TraceEvent } from './events.ts';

test('events carry a number and the simulated time, and nothing is kept when nobody listens', () => {
  const env = new KernelEnv();
  const heard: Stamped[] = [];
  env.log('info', 'unheard');
  {
    using _ = env.trace.listen((stamped) => heard.push(stamped));
    env.clock.advance(5);
    env.log('info', 'heard');
  }
  env.log('info', 'unheard again');
  expect(heard).toEqual([
    { seq: 0, timeNs: 5, event: { kind: 'log', level: 'info', text: 'heard' } },
  ]);
  expect(env.trace.on).toBe(false);
});
test('a warning can be observed by its id, and warned once when asked', () => {
  const env = new KernelEnv();
  env.warn('nofail-failed', 'a');
  env.warnOnce('multi-driver', 'b');
  env.warnOnce('multi-driver', 'b');
  expect(env.warnings).toEqual(['nofail-failed', 'multi-driver']);
});
test('a refusal says which rule broke, with the values, to everybody who listens', () => {
  const heard: [string, Refusal][] = [];
  const by = (who: string) => (refusal: Refusal) => heard.push([who, refusal]);
  const call = () => refuse(EINVAL, 'iova is not aligned', { iova: 0x123n });
  expect(listening(by('outer'), () => listening(by('inner'), call))).toBe(EINVAL);
  expect(listening(by('nobody'), () => silently(call))).toBe(EINVAL);
  const refusal = { errno: EINVAL, rule: 'iova is not aligned', facts: { iova: 0x123n } };
  expect(heard).toEqual([
    ['inner', refusal],
    ['outer', refusal],
  ]);
});

const ioctl: CallInfo = { what: 'syscall', name: 'ioctl' };
test('a call that remarks and then fails is told with its errno alone', () => {
  const { trace } = new KernelEnv();
  const heard: TraceEvent[] = [];
  using _ = trace.listen(({ event }) => heard.push(event));
  const remark = { rule: 'nothing is mapped', facts: { iova: 0n } };
  for (const result of [EINVAL, 0, EINVAL]) {
    const call = trace.enter(ioctl);
    trace.inside(call, () => trace.remark(remark.rule, remark.facts));
    trace.leave(call, { result });
  }
  const leave = { kind: 'leave', ...ioctl, refusals: [] };
  expect(heard.filter(({ kind }) => kind === 'leave')).toEqual([
    { ...leave, result: EINVAL },
    { ...leave, result: 0, remarks: [remark] },
    { ...leave, result: EINVAL },
  ]);
});
test('a call whose end nobody hears leaves no remark to the next', () => {
  const { trace } = new KernelEnv();
  using _ = trace.listenToTroubles(() => undefined);
  const everything = trace.listen(() => undefined);
  const call = trace.enter(ioctl);
  trace.inside(call, () => trace.remark('nothing is mapped', {}));
  everything[Symbol.dispose]();
  trace.leave(call, { result: 0 });
  expect(trace.takeRemarks()).toBeUndefined();
});

/** Those who want maps, and calls of one request. */
const CHOICE: Choice = {
  events: new Set(['map']),
  calls: (_name, request) => request === 7,
  enters: false,
};
const map: TraceEvent = {
  ...{ kind: 'map', domain: { kind: 'domain', id: '1', born: undefined } },
  ...{ iova: 0n, length: 1n },
};
test('who chooses hears that and troubles, and nothing else is asked for', () => {
  const { trace } = new KernelEnv();
  const heard: string[] = [];
  {
    using _ = trace.listenTo(CHOICE, ({ event }) => heard.push(event.kind));
    expect([trace.on, trace.heedsTroubles, trace.hears.map, trace.hears.dma]).toEqual([
      ...[false, true, true, false],
    ]);
    expect([7, 8, undefined].map((request) => trace.hearsCall('ioctl', request))).toEqual([
      ...['end', undefined, undefined],
    ]);
    trace.emit(map);
    trace.emit({ kind: 'log', level: 'info', text: 'not chosen' });
    trace.emit({ kind: 'warn', id: 'w', text: 'a trouble' });
  }
  trace.emit(map);
  expect(heard).toEqual(['map', 'warn']);
  expect([trace.heedsTroubles, trace.hears.map, trace.hearsCall('ioctl', 7)]).toEqual([
    ...[false, false, undefined],
  ]);
});
test('who listens to everything is asked for everything, whatever others choose', () => {
  const { trace } = new KernelEnv();
  using _chosen = trace.listenTo(CHOICE, () => undefined);
  using _all = trace.listen(() => undefined);
  expect([trace.hears.dma, trace.hearsCall('read', undefined)]).toEqual([true, 'whole']);
});
test('a timer knows what has set it for those who choose, though its turn is told to nobody', () => {
  const { clock, trace } = new KernelEnv();
  const heard: Stamped[] = [];
  using _ = trace.listenTo(CHOICE, (stamped) => heard.push(stamped));
  const cause = trace.emit(map);
  trace.because(cause, () => clock.after(5, () => trace.emit(map)));
  clock.advance(5);
  expect(heard.map((stamped) => [stamped.event.kind, stamped.cause])).toEqual([
    ['map', undefined],
    ['map', cause],
  ]);
});
