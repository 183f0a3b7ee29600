/** What goes wrong in a machine whose plan says so, seen by a program of the library. */
import { describe, expect, test } from 'vitest';
import { EEXIST, EFAULT, EINTR, EIO, ENOMEM, isErrno, type Result } from '../../base/errno.ts';
import type { LeaveEvent } from '../../base/events.ts';
import { done, must } from '../../testing/base/must.ts';
import { Client, EDU } from '../../testing/machine/client.ts';
import { createMachine } from '../../machine/create-machine.ts';
import { PRESETS } from '../../machine/description/presets.ts';
import * as uapi from '../../uapi/vfio.ts';
import { eventText } from '../views/event-text.ts';
import { FaultInjector } from './fault-injector.ts';
import { parseFaultPlan } from './parse.ts';

const IOVA = 0x10_0000n;
const PAGE = 0x1000n;
const CONFIG = 7n << 40n;
const MS = 1e6;

/** A program on a machine where this goes wrong. */
class Disturbed extends Client {
  readonly injector: FaultInjector;
  readonly signals: number[];
  readonly left: LeaveEvent[] = [];

  constructor(...expressions: string[]) {
    const plan = parseFaultPlan(expressions);
    if ('problem' in plan) throw new Error(plan.problem);
    const signals: number[] = [];
    const injector = new FaultInjector(plan, (_task, signal) => signals.push(signal));
    const made = createMachine(PRESETS['default']!.machine, { faults: injector.policies });
    if ('problems' in made) throw new Error(JSON.stringify(made.problems));
    super(made.machine);
    this.injector = injector;
    this.signals = signals;
    this.machine.env.trace.listen(({ event }) => {
      if (event.kind === 'leave' && event.what === 'syscall') this.left.push(event);
    });
  }
  mapAt(container: number, iova: bigint): Result<number> {
    return this.map(container, { vaddr: this.memory(0x1000), iova, size: PAGE });
  }
  get counts(): [number, number][] {
    return this.injector.counts.map(({ met, done }) => [met, done]);
  }
  get maps(): LeaveEvent[] {
    return this.left.filter(({ command }) => command === 'VFIO_IOMMU_MAP_DMA');
  }
}

const MAP = 'inject=VFIO_IOMMU_MAP_DMA';

describe('a call', () => {
  const results = (expression: string): Result<number>[] => {
    const program = new Disturbed(expression);
    const { c } = program.container(uapi.VFIO_TYPE1v2_IOMMU);
    return [0n, 1n, 2n].map((n) => program.mapAt(c, IOVA + n * PAGE));
  };
  test.each([
    [`${MAP}:error=ENOMEM`, [ENOMEM, ENOMEM, ENOMEM]],
    [`${MAP}:error=ENOMEM:when=2`, [0, ENOMEM, 0]],
    [`${MAP}:error=ENOMEM:when=1+2`, [ENOMEM, 0, ENOMEM]],
    [`${MAP}:retval=5:when=3`, [0, 0, 5]],
    [`${MAP}:error=EINTR:path=/dev/vfio/vfio:when=1`, [EINTR, 0, 0]],
    [`${MAP}:error=EINTR:path=/dev/iommu`, [0, 0, 0]],
    [`${MAP}:error=EINTR:device=0000:00:04.0`, [0, 0, 0]],
    ['inject=IOMMU_IOAS_MAP:error=EINTR', [0, 0, 0]],
  ])('%s', (expression, expected) => {
    expect(results(expression)).toEqual(expected);
  });

  test('that fails before its work has done nothing, one that fails after it has', () => {
    const before = new Disturbed(`${MAP}:error=ENOMEM:when=1`);
    const { c } = before.container(uapi.VFIO_TYPE1v2_IOMMU);
    expect([before.mapAt(c, IOVA), before.mapAt(c, IOVA)]).toEqual([ENOMEM, 0]);
    const after = new Disturbed(`${MAP}:error=ENOMEM:after:when=1`);
    const { c: other } = after.container(uapi.VFIO_TYPE1v2_IOMMU);
    expect([after.mapAt(other, IOVA), after.mapAt(other, IOVA)]).toEqual([ENOMEM, EEXIST]);
  });
  test('that says it did less has a field that says so', () => {
    const program = new Disturbed('inject=VFIO_IOMMU_UNMAP_DMA:retval=0:field=size=0:when=1');
    const { c } = program.container(uapi.VFIO_TYPE1v2_IOMMU);
    must(program.mapAt(c, IOVA));
    const unmaps = [0, 1].map(() => program.unmap(c, { iova: IOVA, size: PAGE }));
    expect(unmaps).toEqual([
      { rc: 0, size: 0n },
      { rc: 0, size: PAGE },
    ]);
  });
  test('that fails by itself keeps its errno, though another was asked for after it', () => {
    const program = new Disturbed(`${MAP}:error=ENOMEM:after:when=2`);
    const { c } = program.container(uapi.VFIO_TYPE1v2_IOMMU);
    must(program.mapAt(c, IOVA));
    expect(program.mapAt(c, IOVA)).toBe(EEXIST);
    expect(program.maps.map(({ injected }) => injected)).toEqual([undefined, undefined]);
  });
  test('that is held back sleeps on the machine’s clock, before its work or behind it', () => {
    for (const delay of ['delay_enter', 'delay_exit']) {
      const program = new Disturbed(`${MAP}:${delay}=30ms:when=1`);
      const { c } = program.container(uapi.VFIO_TYPE1v2_IOMMU);
      const begin = program.machine.env.clock.nowNs;
      must(program.mapAt(c, IOVA));
      expect(program.machine.env.clock.nowNs - begin).toBe(30 * MS);
      expect(program.mapAt(c, IOVA)).toBe(EEXIST);
      expect(program.maps.map(({ delayed }) => delayed)).toEqual([true, undefined]);
    }
  });
});

describe('a rule', () => {
  test('several rules add up: all delays and signals, the first result', () => {
    const program = new Disturbed(
      `${MAP}:delay_exit=1ms:signal=INT`,
      `${MAP}:delay_enter=2ms:error=EINTR`,
      `${MAP}:error=EIO:signal=10`,
    );
    const { c } = program.container(uapi.VFIO_TYPE1v2_IOMMU);
    expect(program.mapAt(c, IOVA)).toBe(EINTR);
    expect(program.machine.env.clock.nowNs).toBe(3 * MS);
    expect(program.signals).toEqual([2, 10]);
    expect(program.counts).toEqual([
      [1, 1],
      [1, 1],
      [1, 1],
    ]);
  });
  test('marks the line of its call, and is named there', () => {
    const program = new Disturbed(`${MAP}:error=ENOMEM:delay_exit=1`);
    const { c } = program.container(uapi.VFIO_TYPE1v2_IOMMU);
    expect(program.mapAt(c, IOVA)).toBe(ENOMEM);
    expect(eventText(program.maps[0]!)).toMatch(
      /= -1 ENOMEM \(Cannot allocate memory\) \(INJECTED\) \(DELAYED\) {2}✗ the call was made to fail, as was asked \(by=inject=/,
    );
  });
  test.each([
    ['inject=open:error=EIO:path=/dev/vfio/vfio', EIO],
    ['inject=open:error=EIO:path=/dev/iommu', undefined],
  ])('open: %s', (expression, errno) => {
    const fd = new Disturbed(expression).open('/dev/vfio/vfio');
    expect(isErrno(fd) ? fd : undefined).toBe(errno);
  });
  test('a read of a device file, by the device', () => {
    const program = new Disturbed(`inject=pread:error=EIO:device=${EDU}:when=2`);
    const { d } = program.device();
    const ids = [0, 1, 2].map(() => program.pread(d, CONFIG, 2));
    expect(ids.map((id) => isErrno(id))).toEqual([false, true, false]);
  });
  test('the ids of objects and address spaces choose calls', () => {
    const program = new Disturbed('inject=IOMMU_DESTROY:error=EIO:object=2');
    const fd = must(program.open('/dev/iommu'));
    const destroy = (id: number): Result<number> => {
      const bytes = new Uint8Array(Uint32Array.of(8, id).buffer);
      program.put(program.buffer, bytes);
      return program.plain(fd, 0x3b80, program.buffer);
    };
    for (let n = 0; n < 2; n++) {
      program.put(program.buffer, new Uint8Array(Uint32Array.of(12, 0, 0).buffer));
      must(program.plain(fd, 0x3b81, program.buffer));
    }
    expect([destroy(1), destroy(2)]).toEqual([0, EIO]);
  });
});

describe('a point of failure', () => {
  const alloc = (program: Disturbed, fd: number): Result<number> => {
    program.put(program.buffer, new Uint8Array(Uint32Array.of(12, 0, 0).buffer));
    return program.plain(fd, 0x3b81, program.buffer);
  };
  test.each([
    ['fail=object:when=2', [0, ENOMEM, 0]],
    ['fail=any:when=1', [ENOMEM, 0, 0]],
    ['fail=pin', [0, 0, 0]],
  ])('%s', (expression, expected) => {
    const program = new Disturbed(expression);
    const fd = must(program.open('/dev/iommu'));
    expect([0, 1, 2].map(() => alloc(program, fd))).toEqual(expected);
  });
});

const WORD = Uint8Array.of(1, 2, 3, 4);
/** A page that the device may write to, and the device. */
function start(...expressions: string[]) {
  const program = new Disturbed(...expressions);
  const { c, d } = program.device();
  const vaddr = program.memory(0x1000);
  must(program.map(c, { vaddr, iova: IOVA, size: PAGE }));
  must(program.pwrite(d, CONFIG + 4n, Uint8Array.of(6, 0)));
  const { dma } = program.machine.pci.device(EDU)!.slot;
  const seen = () => [...program.bytes(vaddr, 4)];
  const { machine } = program;
  const later = (ms: number): void => done(machine.advanceTo(machine.env.clock.nowNs + ms * MS));
  return { program, dma, seen, later, c, vaddr, d };
}

describe('a transfer', () => {
  test.each([
    ['drop', [0, 0, 0, 0], [0, 0, 0, 0]],
    ['delay=5ms', [0, 0, 0, 0], [1, 2, 3, 4]],
    ['torn=5ms', [1, 2, 0, 0], [1, 2, 3, 4]],
    ['wild', [0, 0, 0, 0], [0, 0, 0, 0]],
    ['irq-drop', [1, 2, 3, 4], [1, 2, 3, 4]],
    ['drop:dma=read', [1, 2, 3, 4], [1, 2, 3, 4]],
    ['drop:when=2', [1, 2, 3, 4], [1, 2, 3, 4]],
  ])('whose write meets %s', (fault, now, then) => {
    const { dma, seen, later } = start(`device=${EDU}:${fault}`);
    const rc = dma.write(IOVA, WORD);
    expect(rc).toBe(fault === 'wild' ? EFAULT : undefined);
    expect(seen()).toEqual(now);
    later(5);
    expect(seen()).toEqual(then);
  });
  test('a write that is repeated falls on what is there then', () => {
    const { dma, seen, later, program, vaddr } = start(`device=${EDU}:duplicate=5ms`);
    done(dma.write(IOVA, WORD));
    program.put(vaddr, new Uint8Array(4));
    later(5);
    expect(seen()).toEqual([1, 2, 3, 4]);
  });
  test('a late write after the unmap is stopped by the IOMMU', () => {
    const { dma, seen, later, program, c } = start(`device=${EDU}:delay=5ms`);
    const faults: unknown[] = [];
    program.machine.env.trace.listen(({ event }) => {
      if (event.kind === 'fault') faults.push(event.iova);
    });
    done(dma.write(IOVA, WORD));
    must(program.unmap(c, { iova: IOVA, size: PAGE }).rc);
    later(5);
    expect([faults, seen()]).toEqual([[IOVA], [0, 0, 0, 0]]);
  });
  test('a corrupted transfer has one bit the other way round, the same one in every run', () => {
    const once = (seed: number) => {
      const { dma, seen } = start(`device=any:corrupt`, `seed=${seed}`);
      done(dma.write(IOVA, WORD));
      return seen();
    };
    const wrong = once(1);
    const bits = wrong.map((byte, n) => (byte ^ WORD[n]!).toString(2).replaceAll('0', '').length);
    expect(bits.reduce((a, b) => a + b)).toBe(1);
    expect(once(1)).toEqual(wrong);
    expect([2, 3, 4, 5].map(once)).not.toEqual([wrong, wrong, wrong, wrong]);
  });
  test('a read that is lost gives an error, and one that is corrupted wrong bytes', () => {
    const { dma } = start(`device=${EDU}:drop:dma=read:when=1`, `device=${EDU}:corrupt:when=2`);
    expect(dma.read(IOVA, new Uint8Array(4))).toBe(EFAULT);
    const into = new Uint8Array(4);
    done(dma.read(IOVA, into));
    expect([...into]).not.toEqual([0, 0, 0, 0]);
  });
});

describe('a device', () => {
  test('a list of places is torn in its middle', () => {
    const { dma, later, program, vaddr } = start(`device=${EDU}:torn=1ms`);
    const list = [
      { at: IOVA, length: 1 },
      { at: IOVA + 0x10n, length: 3 },
    ];
    const there = () => [...program.bytes(vaddr, 1), ...program.bytes(vaddr + 0x10n, 3)];
    done(dma.write(list, WORD));
    expect(there()).toEqual([1, 2, 0, 0]);
    later(1);
    expect(there()).toEqual([1, 2, 3, 4]);
  });
  test('that is pulled out in a transfer is gone in the next turn', () => {
    const { dma, later, program } = start(`device=${EDU}:unplug:when=2`);
    done(dma.write(IOVA, WORD));
    expect(dma.write(IOVA, WORD)).toBe(EFAULT);
    later(0);
    expect(program.machine.hardware.slot(EDU)).toBeUndefined();
  });
  test.each([
    ['irq-drop', []],
    ['irq-delay=5ms', [5]],
    ['irq-duplicate=5ms', [0, 5]],
    ['irq-drop:when=2', [0]],
  ])('whose interrupt meets %s', (fault, times) => {
    const { program, d, later } = start(`device=${EDU}:${fault}`);
    const { clock } = program.machine.env;
    const irq = program.eventfd();
    must(program.setIrqs(d, { flags: 36, index: 1 }, [irq]));
    const begin = clock.nowNs;
    program.machine.pci.device(EDU)!.slot.fn.raise(0);
    const came: number[] = [];
    // A read waits for the next timer.
    while (program.counter(irq) > 0n) came.push((clock.nowNs - begin) / MS);
    later(5);
    expect(came).toEqual(times);
  });
});

test('kinds without a rule have no policy, so they cost nothing', () => {
  const plan = parseFaultPlan(['fail=pin']);
  const { policies } = new FaultInjector('problem' in plan ? { rules: [], seed: 1 } : plan);
  expect(
    Object.entries(policies)
      .filter(([, policy]) => policy)
      .map(([name]) => name),
  ).toEqual(['points']);
});
