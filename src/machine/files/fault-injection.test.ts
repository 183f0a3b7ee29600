import { expect, test } from 'vitest';
import { EINVAL, ENOMEM, isErrno } from '../../base/errno.ts';
import type { Task } from '../../base/task.ts';
import { IOMMU_IOAS_ALLOC, iommu_ioas_alloc } from '../../uapi/iommufd.ts';
import { VFIO_DEVICE_BIND_IOMMUFD, vfio_device_bind_iommufd } from '../../uapi/vfio.ts';
import { FaultInjection } from './fault-injection.ts';
import { PRESETS } from '../description/presets.ts';
import { createMachine } from '../create-machine.ts';
import { Machine } from '../machine.ts';
import type { AttrNode } from './nodes.ts';
import { must } from '../../testing/base/must.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const NO_TASK = undefined as never;
const thread = (tid: number) => ({ tid }) as Task;
const text = (node: AttrNode) => {
  const read = node.read(NO_TASK);
  return isErrno(read) ? read : new TextDecoder().decode(read);
};

test('the nth point of a thread fails, once, and fail-nth counts down to it', () => {
  const faults = new FaultInjection(() => undefined);
  const node = faults.failNth(7);
  expect([text(node), node.live]).toEqual(['0\n', true]);
  expect(node.write!(NO_TASK, bytes('3'), 0)).toBe(1);
  expect(faults.fails('pin', thread(8))).toBe(false);
  expect([1, 2, 3, 4].map(() => faults.fails('pin', thread(7)))).toEqual([
    ...[false, false, true, false],
  ]);
  expect(text(node)).toBe('0\n');
  expect(node.write!(NO_TASK, bytes('5\n'), 0)).toBe(2);
  expect(faults.fails('pin', thread(7))).toBe(false);
  expect(text(node)).toBe('4\n');
  expect(node.write!(NO_TASK, bytes('0'), 0)).toBe(1);
  expect(text(node)).toBe('0\n');
});

test.for(['', 'x', '-1', '1 2', '2147483648'])('%o is no fail-nth, and EINVAL', (value) => {
  const node = new FaultInjection(() => undefined).failNth(1);
  expect(node.write!(NO_TASK, bytes(value), 0)).toBe(EINVAL);
  expect(text(node)).toBe('0\n');
});

test('allocations take part when ignore-gfp-wait is N, and anything else there is EINVAL', () => {
  const faults = new FaultInjection(() => undefined);
  const attr = (dir: string, name: string) =>
    faults.directories()[dir]!.lookup(name) as AttrNode | undefined;
  for (const [dir, point] of [
    ['failslab', 'object'],
    ['fail_page_alloc', 'frame'],
  ] as const) {
    faults.arm(1, 1);
    expect(text(attr(dir, 'ignore-gfp-wait')!)).toBe('Y\n');
    expect(faults.fails(point, thread(1))).toBe(false);
    expect(attr(dir, 'ignore-gfp-wait')!.write!(NO_TASK, bytes('maybe'), 0)).toBe(EINVAL);
    expect(attr(dir, 'ignore-gfp-wait')!.write!(NO_TASK, bytes('N'), 0)).toBe(1);
    expect(faults.fails(point, thread(1))).toBe(true);
  }
  expect(attr('fail_iommufd', 'ignore-gfp-wait')).toBeUndefined();
});

test('a failure is logged unless verbose is 0', () => {
  const logged: string[] = [];
  const faults = new FaultInjection((line) => logged.push(line));
  const verbose = faults.directories()['fail_iommufd']!.lookup('verbose') as AttrNode;
  faults.arm(1, 1);
  faults.fails('pin', thread(1));
  expect(logged).toEqual([
    'fault injection: fail_iommufd: pinning pages is made to fail for thread 1',
  ]);
  expect(verbose.write!(NO_TASK, bytes('loud'), 0)).toBe(EINVAL);
  expect(verbose.write!(NO_TASK, bytes('0'), 0)).toBe(1);
  expect(text(verbose)).toBe('0\n');
  faults.arm(1, 1);
  expect(faults.fails('pin', thread(1))).toBe(true);
  expect(logged).toHaveLength(1);
});

test('debugfs has the switches on a kernel with failure injection only', () => {
  const path = '/sys/kernel/debug/failslab/ignore-gfp-wait';
  const plain = new Machine();
  expect(plain.faults).toBeUndefined();
  expect(isErrno(plain.program().realpath(path))).toBe(true);
  const made = createMachine({ kernel: { with: ['fault-injection'] } });
  if (!('machine' in made)) throw new Error('no machine');
  expect(isErrno(made.machine.program().realpath(path))).toBe(false);
});

/** A program whose allocations take part, and its memory. */
function armable() {
  const made = createMachine({
    ...PRESETS['default']!.machine,
    kernel: { with: ['fault-injection'] },
  });
  if (!('machine' in made)) throw new Error('no machine');
  const { machine } = made;
  const program = machine.program();
  const slab = machine.faults!.directories()['failslab']!.lookup('ignore-gfp-wait') as AttrNode;
  expect(slab.write!(NO_TASK, bytes('N'), 0)).toBe(1);
  const fd = must(program.open('/dev/iommu'));
  const at = must(program.mem.map(4096));
  const memory = (length: number) => program.mem.view(at, length)!;
  return { machine, program, faults: machine.faults!, fd, at, memory };
}

test('an object that cannot be allocated is ENOMEM, and the next call works', () => {
  const { machine, program, faults, fd, at, memory } = armable();
  const struct = iommu_ioas_alloc.view(memory(iommu_ioas_alloc.size));
  struct.size = iommu_ioas_alloc.size;
  faults.arm(program.tid, 1);
  expect(program.ioctl(fd, IOMMU_IOAS_ALLOC, at)).toBe(ENOMEM);
  expect(program.ioctl(fd, IOMMU_IOAS_ALLOC, at)).toBe(0);
  expect(struct.out_ioas_id).toBe(1);
  program.exit();
  machine.assertIdle();
});

test('a call of VFIO passes the points of iommufd behind it, and a close none', () => {
  const { machine, program, faults, fd, at, memory } = armable();
  const device = must(program.open('/dev/vfio/devices/vfio0'));
  const struct = vfio_device_bind_iommufd.view(memory(vfio_device_bind_iommufd.size));
  struct.argsz = 16;
  struct.iommufd = fd;
  faults.arm(program.tid, 1);
  expect(program.ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, at)).toBe(ENOMEM);
  expect(program.ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, at)).toBe(0);
  faults.arm(program.tid, 1);
  program.exit();
  expect(faults.left(program.tid)).toBe(1);
  machine.assertIdle();
});
