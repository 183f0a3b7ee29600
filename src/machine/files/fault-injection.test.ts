import { expect, test } from 'vitest';
import { EINVAL, ENOMEM, isErrno } from '../../base/errno.ts';
import { KernelEnv } from '../../base/kernel-env.ts';
import { IOMMU_IOAS_ALLOC, iommu_ioas_alloc } from '../../uapi/iommufd.ts';
import { FaultInjection } from './fault-injection.ts';
import { Machine } from '../machine.ts';
import type { AttrNode } from './nodes.ts';
import { lookupPath } from './tree.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const NO_TASK = undefined as never;
const text = (node: AttrNode) => {
  const read = node.read(NO_TASK);
  return isErrno(read) ? read : new TextDecoder().decode(read);
};

test('the nth point of a thread fails, once, and fail-nth counts down to it', () => {
  const faults = new FaultInjection(new KernelEnv());
  const node = faults.failNth(7);
  expect([text(node), node.live]).toEqual(['0\n', true]);
  expect(node.write!(NO_TASK, bytes('3'), 0)).toBe(1);
  expect(faults.shouldFail(8, 'iommufd: pin')).toBe(false);
  expect([1, 2, 3, 4].map(() => faults.shouldFail(7, 'iommufd: pin'))).toEqual([
    ...[false, false, true, false],
  ]);
  expect(text(node)).toBe('0\n');
  expect(node.write!(NO_TASK, bytes('5\n'), 0)).toBe(2);
  expect(faults.shouldFail(7, 'iommufd: pin')).toBe(false);
  expect(text(node)).toBe('4\n');
  expect(node.write!(NO_TASK, bytes('0'), 0)).toBe(1);
  expect(text(node)).toBe('0\n');
});

test.for(['', 'x', '-1', '1 2', '2147483648'])('%o is no fail-nth, and EINVAL', (value) => {
  const node = new FaultInjection(new KernelEnv()).failNth(1);
  expect(node.write!(NO_TASK, bytes(value), 0)).toBe(EINVAL);
  expect(text(node)).toBe('0\n');
});

test('allocations take part when ignore-gfp-wait is N, and anything else there is EINVAL', () => {
  const faults = new FaultInjection(new KernelEnv());
  const attr = (dir: string, name: string) =>
    faults.directories()[dir]!.lookup(name) as AttrNode | undefined;
  for (const [dir, point] of [
    ['failslab', 'slab: object'],
    ['fail_page_alloc', 'page: frame'],
  ] as const) {
    faults.arm(1, 1);
    expect(text(attr(dir, 'ignore-gfp-wait')!)).toBe('Y\n');
    expect(faults.shouldFail(1, point)).toBe(false);
    expect(attr(dir, 'ignore-gfp-wait')!.write!(NO_TASK, bytes('maybe'), 0)).toBe(EINVAL);
    expect(attr(dir, 'ignore-gfp-wait')!.write!(NO_TASK, bytes('N'), 0)).toBe(1);
    expect(faults.shouldFail(1, point)).toBe(true);
  }
  expect(attr('fail_iommufd', 'ignore-gfp-wait')).toBeUndefined();
});

test('a failure is logged unless verbose is 0', () => {
  const env = new KernelEnv();
  const logged: object[] = [];
  using _ = env.trace.listen((event) => logged.push(event));
  const faults = new FaultInjection(env);
  const verbose = faults.directories()['fail_iommufd']!.lookup('verbose') as AttrNode;
  faults.arm(1, 1);
  faults.shouldFail(1, 'iommufd: pin');
  expect(logged).toHaveLength(1);
  expect(verbose.write!(NO_TASK, bytes('loud'), 0)).toBe(EINVAL);
  expect(verbose.write!(NO_TASK, bytes('0'), 0)).toBe(1);
  expect(text(verbose)).toBe('0\n');
  faults.arm(1, 1);
  expect(faults.shouldFail(1, 'iommufd: pin')).toBe(true);
  expect(logged).toHaveLength(1);
});

test('debugfs has the switches on a kernel with failure injection only', () => {
  const path = '/sys/kernel/debug/failslab/ignore-gfp-wait';
  const plain = new Machine();
  expect(plain.faults).toBeUndefined();
  expect(isErrno(lookupPath(plain.root, path))).toBe(true);
  const made = Machine.create({ kernel: { with: ['fault-injection'] } });
  if (!('machine' in made)) throw new Error('no machine');
  expect(isErrno(lookupPath(made.machine.root, path))).toBe(false);
});

test('an object that cannot be allocated is ENOMEM, and the next call works', () => {
  const made = Machine.create({ kernel: { with: ['fault-injection'] } });
  if (!('machine' in made)) throw new Error('no machine');
  const { faults } = made.machine;
  const program = made.machine.program();
  program.shouldFail = (point) => faults!.shouldFail(program.tid, point);
  const slab = faults!.directories()['failslab']!.lookup('ignore-gfp-wait') as AttrNode;
  expect(slab.write!(NO_TASK, bytes('N'), 0)).toBe(1);
  faults!.arm(program.tid, 1);
  const fd = program.open('/dev/iommu');
  const at = program.mem.map(4096);
  if (isErrno(fd) || isErrno(at)) throw new Error('no /dev/iommu');
  const struct = iommu_ioas_alloc.view(program.mem.view(at, iommu_ioas_alloc.size)!);
  struct.size = iommu_ioas_alloc.size;
  expect(program.ioctl(fd, IOMMU_IOAS_ALLOC, at)).toBe(ENOMEM);
  expect(program.ioctl(fd, IOMMU_IOAS_ALLOC, at)).toBe(0);
  expect(struct.out_ioas_id).toBe(1);
  program.exit();
  made.machine.assertIdle();
});
