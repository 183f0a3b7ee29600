/** Doorbells that are lent say to a device what trapped ones do: the slow twin is told of every store. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { MmioWindow } from '../../base/file.ts';
import * as libc from '../sys/libc.ts';
import type { CallSite } from '../../insight/sites/call-site.ts';
import { DoorbellLoans, type Loan } from './doorbell-loans.ts';

const START = 0x1000;
const COUNT = 6;
const MARK = 1;

/** A device with doorbells, the first two of which are control, and a program that has them mapped. */
class Rig {
  /** What the device was told last of each, and what it would have been told by traps. */
  readonly told = new Uint32Array(COUNT);
  readonly twin = new Uint32Array(COUNT);
  /** Stores, in their order. */
  readonly stores: number[] = [];
  readonly trace = { on: false };
  decodes = true;
  tick: () => void = () => undefined;
  readonly loans: DoorbellLoans;
  readonly loan: Loan;
  readonly #window: MmioWindow;
  readonly #file: number;

  /** Where the program is, and where it was when the stores were made. */
  site: CallSite | undefined;
  #standing: CallSite | undefined;
  readonly storedAt: (CallSite | undefined)[] = [];

  constructor() {
    this.#window = {
      name: 'BAR 0',
      length: 0x4000,
      pfn: 0,
      accessible: () => this.decodes,
      load: () => 0n,
      store: () => undefined,
      doorbells: {
        start: START,
        count: COUNT,
        value: (index) => this.told[index]!,
        isControl: (index) => index < 2,
      },
    };
    this.loans = new DoorbellLoans({
      machine: {
        env: { trace: this.trace },
        syscalls: {
          store: (_pid, _window, offset, _width, value) => {
            this.#store((offset - START) / 4, Number(value));
            return undefined;
          },
        },
      },
      sites: {
        here: () => this.site,
        standing: (site) => {
          this.#standing = site;
          return { [Symbol.dispose]: () => (this.#standing = undefined) };
        },
      },
      watches: {
        watchFd: (_fd, run) => {
          this.tick = run;
          return { [Symbol.dispose]: () => undefined };
        },
      },
    });
    const loan = this.loans.of(this.#window);
    if (!loan) throw new Error('the host lets no pages be lent');
    this.loan = loan;
    loan.mappings = 1;
    this.#file = this.loan.pages.reopen(MARK);
  }
  #store(index: number, value: number): void {
    if (this.decodes) this.told[index] = value;
    this.stores.push(index);
    this.storedAt.push(this.#standing);
  }
  /** As the program does: a store to memory, or a trap. */
  ring(index: number, value: number): void {
    if (this.decodes) this.twin[index] = value;
    if (this.loan.pages.isLent) {
      libc.pwrite(this.#file, Buffer.from(Uint32Array.of(value).buffer), index * 4);
      return;
    }
    this.loans.beforeAccess(this.#window);
    if (this.decodes) this.#store(index, value);
    this.loans.afterAccess(this.loan.pages, 1);
  }
  ringMuch(): void {
    for (let n = 1; n <= 8; n++) this.ring(2, n);
  }
  otherRegister(): void {
    this.loans.beforeAccess(this.#window);
  }
  unmap(): void {
    libc.close(this.#file);
    this.loans.unmapped(this.loan);
  }
}

test('doorbells that are rung much are memory, with their values', () => {
  const rig = new Rig();
  rig.ringMuch();
  const there = new Uint32Array(COUNT);
  rig.loan.pages.look(new Uint8Array(there.buffer));
  expect(rig.loan.pages.isLent).toBe(true);
  expect([...there]).toEqual([0, 0, 8, 0, 0, 0]);
});
test('what is rung then is told at the next look, once', () => {
  const rig = new Rig();
  rig.ringMuch();
  rig.stores.length = 0;
  rig.ring(3, 5);
  rig.loans.look();
  rig.loans.look();
  expect(rig.stores).toEqual([3]);
});
test('the timer looks too', () => {
  const rig = new Rig();
  rig.ringMuch();
  rig.ring(3, 5);
  rig.tick();
  expect(rig.told[3]).toBe(5);
});
test('control doorbells are told last, and with them the loan ends', () => {
  const rig = new Rig();
  rig.ringMuch();
  rig.stores.length = 0;
  rig.ring(0, 1);
  rig.ring(4, 9);
  rig.loans.look();
  expect(rig.stores).toEqual([4, 0]);
  expect(rig.loan.pages.isLent).toBe(false);
});
test.for([
  ['an access to another register', (rig: Rig) => rig.otherRegister()],
  ['a call that the machine answers', (rig: Rig) => rig.loans.end()],
  ['the end of the mapping', (rig: Rig) => rig.unmap()],
] as const)('%s ends a loan, and what was rung before is told', ([, end]) => {
  const rig = new Rig();
  rig.ringMuch();
  rig.ring(5, 7);
  end(rig);
  expect(rig.told[5]).toBe(7);
  expect(rig.loan.pages.isLent).toBe(false);
});
test('while everything is traced, each store is a trap', () => {
  const rig = new Rig();
  rig.trace.on = true;
  rig.ringMuch();
  expect(rig.loan.pages.isLent).toBe(false);
});
test('what is rung while it is lent was called from where the last trap was, and says that it was earlier', () => {
  const rig = new Rig();
  const frames = [{ pc: 1 }];
  rig.site = { frames };
  rig.ringMuch();
  rig.site = { frames: [{ pc: 2 }] };
  rig.ring(5, 7);
  rig.loans.look();
  const [first, last] = [rig.storedAt[0], rig.storedAt.at(-1)];
  expect([first, last?.frames, last?.isEarlier]).toEqual([undefined, frames, true]);
});
test('nothing is lent of a BAR that does not decode, and a loan ends with decoding', () => {
  const rig = new Rig();
  rig.ringMuch();
  rig.decodes = false;
  rig.loans.look();
  expect(rig.loan.pages.isLent).toBe(false);
  rig.ringMuch();
  expect(rig.loan.pages.isLent).toBe(false);
});
test('a window without doorbells has none to lend', () => {
  const rig = new Rig();
  const window = { name: '', length: 4096, pfn: 0, load: () => 0n, store: () => undefined };
  expect(rig.loans.of(window)).toBeUndefined();
});

test('whatever a program does, the device knows at each look what traps would have told it', () => {
  const ring = fc.record({ index: fc.nat(COUNT - 1), value: fc.nat(3) });
  const step = fc.oneof(
    { weight: 8, arbitrary: ring },
    fc.constantFrom('look', 'tick', 'register', 'call', 'much', 'trace'),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const rig = new Rig();
      const does: Record<string, () => void> = {
        look: () => void rig.loans.look(),
        tick: () => rig.tick(),
        register: () => rig.otherRegister(),
        call: () => rig.loans.end(),
        much: () => rig.ringMuch(),
        trace: () => (rig.trace.on = !rig.trace.on),
      };
      for (const each of steps) {
        if (typeof each === 'object') rig.ring(each.index, each.value);
        else {
          does[each]!();
          rig.loans.look();
          expect([...rig.told]).toEqual([...rig.twin]);
        }
      }
      rig.unmap();
      expect([...rig.told]).toEqual([...rig.twin]);
    }),
    { numRuns: 200 },
  );
});
