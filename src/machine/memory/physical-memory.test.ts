import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Bug } from '../../base/bug.ts';
import { EFAULT, EINVAL, ENOMEM, isErrno } from '../../base/errno.ts';
import { must } from '../../testing/base/must.ts';
import type { MmioWindow } from '../../base/file.ts';
import { Ram } from '../../pt/ram.ts';
import { FilePages, MachineMm, MappedObjects } from './mm.ts';
import { FIRST_PINNED_PFN, MachineMemory, newPageOwner } from './physical-memory.ts';
import { ProgramMemory, SharedObject } from '../program/program-memory.ts';
import type { HeldPages } from './process-memory.ts';

function setup(addressLg2?: number) {
  const frames = new MachineMemory(new Ram(2 ** 20), addressLg2);
  const objects = new MappedObjects();
  let id = 0;
  const process = (memory = new ProgramMemory()) => ({
    memory,
    mm: new MachineMm(++id, { memory, frames, objects }),
  });
  return { frames, objects, process };
}
const indexOf = (va: bigint): number => Number(va >> 12n);
function pin(mm: MachineMm, index: number, count: number, write = true): Float64Array {
  const pfns = new Float64Array(count);
  expect(mm.pin(index, count, write, pfns, 0)).toBeUndefined();
  return pfns;
}

test('a physical address space that is full gives no more frames: ENOMEM for a pin, EFAULT for a name', () => {
  // Frames of programs begin at 256 GiB, so 39 bits leave 256 regions of a GiB.
  const { process, frames } = setup(39);
  const { memory, mm } = process();
  const owner = newPageOwner('somebody', true);
  for (let gib = 0; gib < 255; gib++) expect(isErrno(frames.pfnOf(owner, gib << 18))).toBe(false);
  const index = indexOf(must(memory.map(0x1000)));
  pin(mm, index, 1);
  const other = process();
  const there = indexOf(must(other.memory.map(0x1000)));
  expect(other.mm.pin(there, 1, true, new Float64Array(1), 0)).toBe(ENOMEM);
  expect(other.mm.lookup(there)).toBe(EFAULT);
  expect(frames.pinTotal).toBe(1);
});

describe('naming', () => {
  test('neighbours in memory are neighbours in frames, aligned to 2 MiB alike', () => {
    const { process } = setup();
    const { memory, mm } = process();
    const index = indexOf(must(memory.map(4 << 20)));
    const pfns = pin(mm, index, 1024);
    expect(pfns[0]! % 512).toBe(index % 512);
    expect([...pfns]).toEqual(Array.from({ length: 1024 }, (_, n) => pfns[0]! + n));
  });
  test('the same page has the same frame, pinned again or only looked up', () => {
    const { process } = setup();
    const { memory, mm } = process();
    const index = indexOf(must(memory.map(0x4000)));
    expect(pin(mm, index + 1, 1)[0]).toBe(pin(mm, index, 2)[1]);
    expect(mm.lookup(index + 1)).toBe(pin(mm, index + 1, 1)[0]);
  });
  test('two programs have different private pages at the same address', () => {
    const { process } = setup();
    const [a, b] = [process(), process()];
    const [va, vb] = [must(a.memory.map(4096)), must(b.memory.map(4096))];
    expect(va).toBe(vb);
    expect(pin(a.mm, indexOf(va), 1)[0]).not.toBe(pin(b.mm, indexOf(vb), 1)[0]);
  });
  test('a shared object gives every program and the file itself the same frames', () => {
    const { frames, objects, process } = setup();
    const object = new SharedObject('memfd:1', 0x3000);
    const [a, b] = [process(), process()];
    const va = must(a.memory.mapShared(object, 0, 0x3000));
    const vb = must(b.memory.mapShared(object, 0x1000, 0x2000));
    const file = new FilePages({ memory: object, frames, objects });
    const pfns = new Float64Array(1);
    expect(file.pin(1, 1, true, pfns, 0)).toBeUndefined();
    expect(pin(a.mm, indexOf(va) + 1, 1)[0]).toBe(pfns[0]);
    expect(pin(b.mm, indexOf(vb), 1)[0]).toBe(pfns[0]);
    expect(frames.pins(pfns[0]!)).toBe(3);
  });
  test('the pages of a program that is gone lose their names with the last pin', () => {
    const { frames, process } = setup();
    const { memory, mm } = process();
    const index = indexOf(must(memory.map(4096)));
    const [pfn] = pin(mm, index, 1);
    mm.exit();
    expect(frames.pins(pfn!)).toBe(1);
    frames.unpin(pfn!, 1);
    expect(frames.describe(pfn!)).toBeUndefined();
    const next = process();
    const again = pin(next.mm, indexOf(must(next.memory.map(4096))), 1)[0]!;
    expect(Math.floor(again / 2 ** 18)).toBe(Math.floor(pfn! / 2 ** 18));
  });
});

describe('pins to write', () => {
  test('a pin to write shared pages of a file system that writes back is EFAULT, but not before Linux 6.5', () => {
    const { process, frames, objects } = setup();
    const { memory, mm } = process();
    const object = new SharedObject('ext4:1', 0x1000);
    const index = indexOf(must(memory.mapShared(object, 0, 0x1000, { writeback: true })));
    expect(mm.pin(index, 1, true, new Float64Array(1), 0)).toBe(EFAULT);
    const old = new MachineMm(7, { memory, frames, objects, writesAnyFile: true });
    pin(old, index, 1);
    pin(mm, index, 1, false);
  });
  test('a page that is pinned to be read is not written until it is pinned for that, too', () => {
    const { process, frames, objects } = setup();
    const { memory, mm } = process();
    const object = new SharedObject('memfd:4', 0x3000);
    const index = indexOf(must(memory.mapShared(object, 0, 0x3000)));
    const [pfn] = pin(mm, index, 3, false);
    const bytes = new Uint8Array(8).fill(7);
    expect(frames.write(pfn!, 0, bytes)).toBe(EFAULT);
    const file = new FilePages({ memory: object, frames, objects });
    expect(file.pin(0, 1, false, new Float64Array(1), 0)).toBeUndefined();
    expect(frames.write(pfn!, 0, bytes)).toBe(EFAULT);
    expect(file.pin(1, 1, true, new Float64Array(1), 0)).toBeUndefined();
    expect(frames.write(pfn! + 1, 0, bytes)).toBeUndefined();
    expect(frames.write(pfn!, 4092, bytes)).toBe(EFAULT);
    pin(mm, index, 3);
    expect(frames.write(pfn!, 4092, bytes)).toBeUndefined();
    expect([...object.bytes.subarray(4092, 4100)]).toEqual([...bytes]);
    expect(frames.pins(pfn!)).toBe(3);
  });
});

describe('pins', () => {
  test.for([
    ['nothing is mapped', (m: ProgramMemory) => must(m.map(4096)) + 0x10_0000n, true],
    [
      'the mapping is read-only',
      (m: ProgramMemory) => must(m.map(4096, { writable: false })),
      true,
    ],
    [
      'the mapping allows nothing',
      (m: ProgramMemory) => must(m.map(4096, { readable: false, writable: false })),
      false,
    ],
  ] as const)('a pin is EFAULT when %s', ([, place, write]) => {
    const { process, frames } = setup();
    const { memory, mm } = process();
    const pfns = new Float64Array(1);
    expect(mm.pin(indexOf(place(memory)), 1, write, pfns, 0)).toBe(EFAULT);
    expect(frames.pinTotal).toBe(0);
  });
  test('a pin beyond the end of a mapped object, or of an address space that is gone, is EFAULT', () => {
    const { process } = setup();
    const { memory, mm } = process();
    const object = new SharedObject('memfd:2', 0x1000);
    const va = must(memory.mapShared(object, 0, 0x2000));
    const pfns = new Float64Array(2);
    expect(mm.pin(indexOf(va), 2, true, pfns, 0)).toBe(EFAULT);
    mm.exit();
    expect(mm.pin(indexOf(va), 1, true, pfns, 0)).toBe(EFAULT);
    expect(mm.lookup(indexOf(va))).toBe(EFAULT);
  });
  test('a pin beyond the end of a file that is pinned by itself is EINVAL', () => {
    const { frames, objects } = setup();
    const file = new FilePages({ memory: new SharedObject('memfd:3', 4096), frames, objects });
    expect(file.pin(0, 2, true, new Float64Array(2), 0)).toBe(EINVAL);
  });
  test('a pin is all or nothing: a hole in the middle leaves no pin behind', () => {
    const { process, frames } = setup();
    const { memory, mm } = process();
    const va = must(memory.map(0x2000, { address: 0x10000n }));
    must(memory.map(0x1000, { address: 0x13000n }));
    expect(mm.pin(indexOf(va), 4, true, new Float64Array(4), 0)).toBe(EFAULT);
    expect(frames.pinTotal).toBe(0);
  });
  test('one unpin too many is a Bug', () => {
    const { process, frames } = setup();
    const { memory, mm } = process();
    const [pfn] = pin(mm, indexOf(must(memory.map(4096))), 1);
    frames.unpin(pfn!, 1);
    expect(() => frames.unpin(pfn!, 1)).toThrow(Bug);
    expect(() => frames.addPin(pfn!, 1)).toThrow(Bug);
  });
  test('huge pages are compound, others are not', () => {
    const { process, frames } = setup();
    const { memory, mm } = process();
    const huge = pin(mm, indexOf(must(memory.map(4096, { huge: true }))), 1)[0]!;
    const small = pin(mm, indexOf(must(memory.map(4096))), 1)[0]!;
    expect([frames.isCompound(huge), frames.isCompound(small)]).toEqual([true, false]);
  });
});

describe('access', () => {
  test('bytes written to frames are the bytes the program sees, across pages', () => {
    const { process, frames } = setup();
    const { memory, mm } = process();
    const va = must(memory.map(0x3000));
    const [pfn] = pin(mm, indexOf(va), 3);
    const bytes = Uint8Array.from({ length: 0x1800 }, (_, n) => n & 0xff);
    expect(frames.write(pfn!, 0x800, bytes)).toBeUndefined();
    expect(memory.view(va + 0x800n, 0x1800)).toEqual(bytes);
    const back = new Uint8Array(0x1800);
    expect(frames.read(pfn!, 0x800, back)).toBeUndefined();
    expect(back).toEqual(bytes);
  });
  test.for([0xf_0000, FIRST_PINNED_PFN, FIRST_PINNED_PFN + 5])(
    'an access where nothing is, at frame %i, is EFAULT',
    (pfn) => {
      const { frames } = setup();
      expect(frames.read(pfn, 0, new Uint8Array(8))).toBe(EFAULT);
      expect(frames.write(pfn, 4092, new Uint8Array(8))).toBe(EFAULT);
    },
  );
  test('an access to a page that is not pinned any more is EFAULT', () => {
    const { process, frames } = setup();
    const { memory, mm } = process();
    const [pfn] = pin(mm, indexOf(must(memory.map(4096))), 1);
    frames.unpin(pfn!, 1);
    expect(frames.read(pfn!, 0, new Uint8Array(1))).toBe(EFAULT);
  });
});

describe('access through other ways', () => {
  test('a page the host can hold is reached through the hold, until the last pin goes', () => {
    const { process, frames } = setup();
    const held = { bytes: new Uint8Array(0x2000), released: 0 };
    class Holding extends ProgramMemory {
      override hold(): HeldPages {
        return {
          read: (page, offset, into) => {
            into.set(held.bytes.subarray(page * 4096 + offset, page * 4096 + offset + into.length));
            return undefined;
          },
          write: () => undefined,
          release: () => held.released++,
        };
      }
    }
    const memory = new Holding();
    const { mm } = process(memory);
    const va = must(memory.map(0x2000));
    const [pfn] = pin(mm, indexOf(va), 2);
    held.bytes[4096] = 7;
    expect(memory.unmap(va, 0x2000)).toBeUndefined();
    const into = new Uint8Array(1);
    expect(frames.read(pfn! + 1, 0, into)).toBeUndefined();
    expect(into[0]).toBe(7);
    frames.unpin(pfn!, 1);
    expect(held.released).toBe(0);
    frames.unpin(pfn! + 1, 1);
    expect(held.released).toBe(1);
  });
});

describe('access to registers', () => {
  test('registers are read and written in dwords, and bytes at the edges', () => {
    const { frames } = setup();
    const cycles: string[] = [];
    const window: MmioWindow = {
      name: 'bar',
      length: 0x2000,
      pfn: 0xe_0000,
      load: (at, width) => {
        cycles.push(`load ${at} ${width}`);
        return 0x0403_0201n;
      },
      store: (at, width, value) => cycles.push(`store ${at} ${width} ${value.toString(16)}`),
    };
    frames.addWindow(window);
    frames.addWindow({ ...window, name: 'other' });
    const into = new Uint8Array(6);
    expect(frames.read(0xe_0000, 3, into)).toBeUndefined();
    expect([...into]).toEqual([1, 1, 2, 3, 4, 1]);
    expect(frames.write(0xe_0001, 4, Uint8Array.of(1, 2, 3, 4, 5))).toBeUndefined();
    expect(cycles).toEqual([
      'load 3 1',
      'load 4 4',
      'load 8 1',
      'store 4100 4 4030201',
      'store 4104 1 5',
    ]);
    expect(frames.read(0xe_0001, 4090, new Uint8Array(10))).toBe(EFAULT);
  });
});

test('registers mapped into a program cannot be pinned, but have frames for type1', () => {
  const { process } = setup();
  const { memory, mm } = process();
  const window: MmioWindow = {
    name: 'bar',
    length: 0x4000,
    pfn: 0xe_0000,
    load: () => 0n,
    store: () => undefined,
  };
  const va = must(memory.mapRegisters(window, 0x1000, 0x2000));
  expect(mm.pin(indexOf(va), 1, true, new Float64Array(1), 0)).toBe(EFAULT);
  expect(mm.lookupIo(indexOf(va) + 1)).toBe(0xe_0002);
  expect(mm.lookupIo(indexOf(va) + 0x100)).toBe(EFAULT);
});

test('pins and unpins in any order agree with a plain count per page', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), fc.nat(15), fc.integer({ min: 1, max: 8 })), {
        maxLength: 60,
      }),
      (steps) => {
        const { process, frames } = setup();
        const { memory, mm } = process();
        const index = indexOf(must(memory.map(24 * 4096)));
        const base = must(mm.lookup(index));
        const model = new Array<number>(24).fill(0);
        for (const [take, at, count] of steps) {
          const range = [...Array(count).keys()].map((n) => at + n);
          if (take) pin(mm, index + at, count);
          else if (range.every((n) => model[n]! > 0)) frames.unpin(base + at, count);
          else continue;
          for (const n of range) model[n]! += take ? 1 : -1;
        }
        expect(model.map((_, n) => frames.pins(base + n))).toEqual(model);
        expect(frames.pinTotal).toBe(model.reduce((a, b) => a + b, 0));
      },
    ),
  );
});

test('an access that leaves a short BAR in its last page is EFAULT', () => {
  const { frames } = setup();
  const nothing = () => 0n;
  const window = { name: 'bar', length: 0x800, pfn: 0xe_0000, load: nothing, store: nothing };
  frames.addWindow(window);
  expect(frames.read(0xe_0000, 0x7fc, new Uint8Array(4))).toBeUndefined();
  expect(frames.read(0xe_0000, 0x7fc, new Uint8Array(8))).toBe(EFAULT);
});
