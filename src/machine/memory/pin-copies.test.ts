/** What a device with a pin sees of a page that its program shows no longer: the same as on Linux, the old page. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Bug } from '../../base/bug.ts';
import { EFAULT, ENFILE, ENOMEM, isErrno } from '../../base/errno.ts';
import { Shortage } from '../../base/shortage.ts';
import { Ram } from '../../pt/ram.ts';
import { FilePages, MachineMm, MappedObjects } from './mm.ts';
import { MachineMemory } from './physical-memory.ts';
import { ProgramMemory, SharedObject } from '../program/program-memory.ts';

const PAGE = 4096;
const PLACE = 0x1000_0000;

function setup() {
  const frames = new MachineMemory(new Ram(2 ** 20));
  const objects = new MappedObjects();
  const memory = new ProgramMemory();
  const mm = new MachineMm(1, { memory, frames, objects });
  return { frames, objects, memory, mm };
}
type Setup = ReturnType<typeof setup>;

function mapAt({ memory }: Setup, page: number, count = 1): void {
  const options = { address: BigInt(page) << 12n, writable: true };
  if (isErrno(memory.map(count * PAGE, options))) throw new Bug('the place is taken');
}
function pin({ mm }: Setup, page: number, count = 1): number[] {
  const pfns = new Float64Array(count);
  expect(mm.pin(page, count, true, pfns, 0)).toBeUndefined();
  return [...pfns];
}
/** munmap as the kernel makes it: the pinned pages are asked for first. */
function munmap({ mm, memory }: Setup, page: number, count = 1): void {
  const removal = mm.removal(page, count);
  expect(memory.unmap(BigInt(page) << 12n, count * PAGE)).toBeUndefined();
  removal?.done();
}
function poke({ memory }: Setup, page: number, value: number): void {
  expect(memory.write(BigInt(page) << 12n, Uint8Array.of(value))).toBeUndefined();
}
function peek({ memory }: Setup, page: number): number {
  const into = new Uint8Array(1);
  expect(memory.read(BigInt(page) << 12n, into)).toBeUndefined();
  return into[0]!;
}
function load({ frames }: Setup, pfn: number): number | 'EFAULT' {
  const into = new Uint8Array(1);
  return frames.read(pfn, 0, into) === EFAULT ? 'EFAULT' : into[0]!;
}
function store({ frames }: Setup, pfn: number, value: number): void {
  expect(frames.write(pfn, 0, Uint8Array.of(value))).toBeUndefined();
}

test('pages that a program has yet to fill are not pinned: whoever waits for them is the caller', () => {
  const { frames, objects, memory } = setup();
  const asked: unknown[] = [];
  let absent = true;
  const isAbsent = (...what: unknown[]): boolean => {
    asked.push(what);
    return absent;
  };
  const mm = new MachineMm(1, { memory: Object.assign(memory, { isAbsent }), frames, objects });
  mapAt({ frames, objects, memory, mm }, PLACE, 3);
  const pfns = new Float64Array(2);
  expect(mm.pin(PLACE + 1, 2, true, pfns, 0)).toBe(EFAULT);
  expect(frames.pinTotal).toBe(0);
  absent = false;
  expect(mm.pin(PLACE + 1, 2, true, pfns, 0)).toBeUndefined();
  expect(asked).toEqual([
    [PLACE + 1, 2, true],
    [PLACE + 1, 2, true],
  ]);
});

test('a shortage in the middle of a pin leaves none of its pages pinned, and is ENOMEM', () => {
  const { frames, objects, memory } = setup();
  const told: string[] = [];
  let held = 0;
  const hold = (): undefined => {
    if (++held === 3) throw new Shortage(ENFILE, 'nothing is left');
  };
  const short = ({ message }: Shortage): void => void told.push(message);
  const mm = new MachineMm(1, { memory: Object.assign(memory, { hold, short }), frames, objects });
  const s = { frames, objects, memory, mm };
  // Three mappings, with a page in the second that is pinned already: five runs, of which the third cannot be held.
  for (const page of [0, 2, 4]) mapAt(s, PLACE + page, 2);
  const before = pin(s, PLACE + 2);
  const pfns = new Float64Array(6);
  expect(mm.pin(PLACE, 6, true, pfns, 0)).toBe(ENOMEM);
  expect([told, frames.pinTotal]).toEqual([['nothing is left'], 1]);
  expect(mm.pin(PLACE, 6, true, pfns, 0)).toBeUndefined();
  expect(frames.pinTotal).toBe(7);
  for (const pfn of [...pfns, ...before]) frames.unpin(pfn, 1);
  expect(frames.pinTotal).toBe(0);
});
test('an exception that is no shortage is not taken for one', () => {
  const { frames, objects, memory } = setup();
  const hold = (): never => {
    throw new Bug('a mistake');
  };
  const mm = new MachineMm(1, { memory: Object.assign(memory, { hold }), frames, objects });
  mapAt({ frames, objects, memory, mm }, PLACE);
  expect(() => mm.pin(PLACE, 1, true, new Float64Array(1), 0)).toThrow('a mistake');
  expect(frames.pinTotal).toBe(0);
});

describe('a pinned private page', () => {
  test('a pinned private page keeps its bytes after munmap, for reads and writes of the device', () => {
    const s = setup();
    mapAt(s, PLACE);
    poke(s, PLACE, 7);
    const [pfn] = pin(s, PLACE);
    munmap(s, PLACE);
    expect(load(s, pfn!)).toBe(7);
    store(s, pfn!, 8);
    expect(load(s, pfn!)).toBe(8);
    s.frames.unpin(pfn!, 1);
    expect(load(s, pfn!)).toBe('EFAULT');
    expect(s.frames.pinTotal).toBe(0);
  });
  test('a pinned private page is another page than what is mapped at its address next', () => {
    const s = setup();
    mapAt(s, PLACE);
    const [old] = pin(s, PLACE);
    munmap(s, PLACE);
    mapAt(s, PLACE);
    poke(s, PLACE, 9);
    expect(load(s, old!)).toBe(0);
    const [fresh] = pin(s, PLACE);
    expect(fresh).not.toBe(old);
    expect(s.mm.lookup(PLACE)).toBe(fresh);
    expect(load(s, fresh!)).toBe(9);
    store(s, old!, 1);
    expect(peek(s, PLACE)).toBe(9);
    store(s, fresh!, 2);
    expect(peek(s, PLACE)).toBe(2);
    s.frames.unpin(old!, 1);
    expect(s.mm.lookup(PLACE)).toBe(fresh);
    s.frames.unpin(fresh!, 1);
  });
  test('a pinned private page in the middle of a run splits the frames of what is pinned there next', () => {
    const s = setup();
    mapAt(s, PLACE);
    mapAt(s, PLACE + 1);
    mapAt(s, PLACE + 2);
    const [, middle] = pin(s, PLACE, 3);
    munmap(s, PLACE + 1);
    mapAt(s, PLACE + 1);
    const again = pin(s, PLACE, 3);
    expect([again[0], again[2]]).toEqual([middle! - 1, middle! + 1]);
    expect(again[1]).not.toBe(middle);
  });
});

describe('a pinned private page that mremap has moved', () => {
  test('a pinned private page that mremap has moved is followed to its new address, and kept when that goes', () => {
    const s = setup();
    mapAt(s, PLACE);
    poke(s, PLACE, 5);
    const [pfn] = pin(s, PLACE);
    mapAt(s, PLACE + 8);
    s.mm.move(PLACE, 1, PLACE + 8);
    store(s, pfn!, 6);
    expect([peek(s, PLACE), peek(s, PLACE + 8)]).toEqual([5, 6]);
    munmap(s, PLACE + 8);
    store(s, pfn!, 4);
    expect(load(s, pfn!)).toBe(4);
    expect(peek(s, PLACE)).toBe(5);
  });
  test('a pinned private page that mremap has moved and that is pinned again is still one page when that goes', () => {
    const s = setup();
    mapAt(s, PLACE);
    const [first] = pin(s, PLACE);
    mapAt(s, PLACE + 8);
    s.mm.move(PLACE, 1, PLACE + 8);
    const [second] = pin(s, PLACE + 8);
    munmap(s, PLACE + 8);
    store(s, first!, 3);
    expect(load(s, second!)).toBe(3);
  });
  test('a pinned private page that mremap has moved there and back is found again', () => {
    const s = setup();
    mapAt(s, PLACE);
    mapAt(s, PLACE + 8);
    const [pfn] = pin(s, PLACE);
    s.mm.move(PLACE, 1, PLACE + 8);
    s.mm.move(PLACE + 8, 1, PLACE);
    store(s, pfn!, 3);
    expect(peek(s, PLACE)).toBe(3);
    munmap(s, PLACE);
    expect(load(s, pfn!)).toBe(3);
  });
});

describe('a pinned private page of a process', () => {
  test('a pinned private page of a process that ends is kept when it was asked before, and else lost, which is EFAULT', () => {
    for (const kept of [true, false]) {
      const s = setup();
      mapAt(s, PLACE);
      poke(s, PLACE, 7);
      const [pfn] = pin(s, PLACE);
      expect(s.mm.hasPins).toBe(true);
      if (kept) s.mm.keepForEnd();
      s.memory.exit();
      s.mm.exit();
      expect(load(s, pfn!)).toBe(kept ? 7 : 'EFAULT');
      expect(s.frames.write(pfn!, 0, Uint8Array.of(1))).toBe(kept ? undefined : EFAULT);
      expect(load(s, pfn!)).toBe(kept ? 1 : 'EFAULT');
      s.frames.unpin(pfn!, 1);
    }
  });
  test('a pinned private page of a process that was about to end and did not is the living one', () => {
    const s = setup();
    mapAt(s, PLACE);
    const [pfn] = pin(s, PLACE);
    s.mm.keepForEnd();
    store(s, pfn!, 1);
    expect(peek(s, PLACE)).toBe(1);
    s.mm.dropReserve();
    s.memory.exit();
    expect(load(s, pfn!)).toBe('EFAULT');
  });
  test('a pinned private page that cannot be read when it goes is no page afterwards, which is EFAULT', () => {
    const s = setup();
    mapAt(s, PLACE);
    const [pfn] = pin(s, PLACE);
    expect(s.memory.unmap(BigInt(PLACE) << 12n, PAGE)).toBeUndefined();
    s.mm.removal(PLACE, 1)!.done();
    expect(load(s, pfn!)).toBe('EFAULT');
  });
});

describe('a pinned page of an object', () => {
  test('a pinned page of an object stays with its bytes when the object is made shorter, and is not what comes there next', () => {
    const s = setup();
    const object = new SharedObject('memfd:1', 2 * PAGE);
    object.bytes.fill(3);
    const file = new FilePages({ memory: object, frames: s.frames, objects: s.objects });
    const pfns = new Float64Array(2);
    expect(file.pin(0, 2, true, pfns, 0)).toBeUndefined();
    const removal = s.objects.removal(s.frames, 'memfd:1', { index: 1, count: 1 })!;
    object.bytes = object.bytes.slice(0, PAGE);
    removal.done();
    expect([load(s, pfns[0]!), load(s, pfns[1]!)]).toEqual([3, 3]);
    object.bytes = new Uint8Array(2 * PAGE);
    const again = new Float64Array(2);
    expect(file.pin(0, 2, true, again, 0)).toBeUndefined();
    expect(again[0]).toBe(pfns[0]);
    expect(load(s, again[1]!)).toBe(0);
    expect(load(s, pfns[1]!)).toBe(3);
  });
  test('a page of an object that nobody has pinned needs nothing', () => {
    const s = setup();
    expect(s.objects.removal(s.frames, 'memfd:1', { index: 0, count: 1 })).toBeUndefined();
    expect(s.mm.removal(PLACE, 1)).toBeUndefined();
    expect(s.mm.hasPins).toBe(false);
  });
  test('a pinned page of an object is the same after the mapping has gone', () => {
    const s = setup();
    const object = new SharedObject('memfd:1', PAGE);
    const va = s.memory.mapShared(object, 0, PAGE, { writable: true });
    if (isErrno(va)) throw new Bug('mapShared');
    const [pfn] = pin(s, Number(va >> 12n));
    munmap(s, Number(va >> 12n));
    store(s, pfn!, 4);
    expect(object.bytes[0]).toBe(4);
  });
});

/** The model: a page is an object, an address shows one or none, a pin is a reference to one. */
const PAGES = 6;
interface ModelPage {
  value: number;
}
class Scene {
  readonly s = setup();
  readonly shown = new Map<number, ModelPage>();
  readonly pins: { pfn: number; page: ModelPage }[] = [];

  map(at: number): void {
    if (this.shown.has(at)) return;
    mapAt(this.s, PLACE + at);
    this.shown.set(at, { value: 0 });
  }
  unmap(at: number): void {
    if (this.shown.delete(at)) munmap(this.s, PLACE + at);
  }
  poke(at: number, value: number): void {
    const page = this.shown.get(at);
    if (!page) return;
    poke(this.s, PLACE + at, value);
    page.value = value;
  }
  pin(at: number): void {
    const page = this.shown.get(at);
    if (page) this.pins.push({ pfn: pin(this.s, PLACE + at)[0]!, page });
  }
  unpin(which: number): void {
    const [pin] = this.pins.splice(which, 1);
    if (pin) this.s.frames.unpin(pin.pfn, 1);
  }
  store(which: number, value: number): void {
    const pin = this.pins[which];
    if (!pin) return;
    store(this.s, pin.pfn, value);
    pin.page.value = value;
  }
  check(): void {
    for (const { pfn, page } of this.pins) {
      expect(load(this.s, pfn)).toBe(page.value);
      // A frame is a page, and a page is a frame.
      for (const other of this.pins) expect(other.pfn === pfn).toBe(other.page === page);
    }
    for (const [at, page] of this.shown) expect(peek(this.s, PLACE + at)).toBe(page.value);
  }
}
const place = fc.nat(PAGES - 1);
const which = fc.nat(9);
const value = fc.nat(255);
const action: fc.Arbitrary<(scene: Scene) => void> = fc.oneof(
  place.map((at) => (scene: Scene) => scene.map(at)),
  place.map((at) => (scene: Scene) => scene.unmap(at)),
  place.map((at) => (scene: Scene) => scene.pin(at)),
  which.map((n) => (scene: Scene) => scene.unpin(n)),
  fc.tuple(place, value).map(
    ([at, byte]) =>
      (scene: Scene) =>
        scene.poke(at, byte),
  ),
  fc.tuple(which, value).map(
    ([n, byte]) =>
      (scene: Scene) =>
        scene.store(n, byte),
  ),
);
test('devices see the pages of the model, whatever is mapped and unmapped', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const scene = new Scene();
      for (const act of actions) {
        act(scene);
        scene.check();
      }
      while (scene.pins.length > 0) scene.unpin(0);
      expect(scene.s.frames.pinTotal).toBe(0);
    }),
    { numRuns: 300 },
  );
});
