import { expect, test } from 'vitest';
import { EINVAL } from './errno.ts';
import { KernelEnv } from './kernel-env.ts';
import { listening, refuse, silently, type Refusal } from './refuse.ts';
import type { Stamped } from './events.ts';

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
