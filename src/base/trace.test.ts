import { expect, test } from 'vitest';
import { EINVAL } from './errno.ts';
import { KernelEnv } from './kernel-env.ts';
import { listening, refuse, silently, type Refusal } from './refuse.ts';
import { formatEvent, toJsonLine } from '../insight/views/text.ts';
import type { Stamped, TraceEvent } from './trace.ts';

const stamp = (event: TraceEvent): Stamped => ({ seq: 1, timeNs: 2, event });

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
test('a failed call reads as strace would show it, with the reason behind it', () => {
  const text = formatEvent(
    stamp({
      kind: 'syscall',
      pid: 7,
      name: 'ioctl',
      file: '/dev/iommu',
      command: 'IOMMU_IOAS_MAP',
      args: { size: 40, flags: 'WRITEABLE', iova: 0x123n },
      result: EINVAL,
      refusals: [{ errno: EINVAL, rule: 'iova is not aligned', facts: { iova: 0x123n } }],
    }),
  );
  expect(text).toBe(
    '[7] ioctl(/dev/iommu, IOMMU_IOAS_MAP, {flags=WRITEABLE, iova=0x123}) = -1 EINVAL  ✗ iova is not aligned (iova=0x123)',
  );
});
test('a call shows what the kernel wrote back', () => {
  const args = { size: 12, flags: 0, out_ioas_id: 0 };
  const event = stamp({
    kind: 'syscall',
    pid: 7,
    name: 'ioctl',
    file: '/dev/iommu',
    command: 'IOMMU_IOAS_ALLOC',
    args,
    after: { ...args, out_ioas_id: 1 },
    result: 0,
    refusals: [],
  });
  expect(formatEvent(event)).toBe(
    '[7] ioctl(/dev/iommu, IOMMU_IOAS_ALLOC, {flags=0, out_ioas_id=0}) = 0  → out_ioas_id=1',
  );
});
test('JSON lines carry u64 values as hex and errno values by name', () => {
  const line = toJsonLine(
    stamp({ kind: 'driver', op: 'attach_dev', driver: 'mock', result: EINVAL }),
  );
  expect(JSON.parse(line)).toMatchObject({ seq: 1, event: { result: 'EINVAL' } });
  expect(toJsonLine(stamp({ kind: 'unmap', domain: 'd', iova: 0x10n, length: 1n }))).toContain(
    '"iova":"0x10"',
  );
});
