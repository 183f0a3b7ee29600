/** The front door as the event stream shows it: calls, causes, and objects. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EINTR, isErrno, type Result } from '../../base/errno.ts';
import type { Stamped, TraceEvent } from '../../base/events.ts';
import { OpenFile } from '../../base/file.ts';
import type { Ref } from '../../base/refs.ts';
import type { Fields, Struct } from '../../base/struct.ts';
import { WaitQueue } from '../../base/wait-queue.ts';
import { EDU_DMA_IRQ, EDU_DMA_START, EDU_DMA_TO_RAM, EDU_REG } from '../../devices/edu/edu.ts';
import { done, must } from '../../testing/base/must.ts';
import { Client, EDU, machineOf } from '../../testing/machine/client.ts';
import * as i from '../../uapi/iommufd.ts';
import * as v from '../../uapi/vfio.ts';

type Of<K extends TraceEvent['kind']> = Stamped & { event: Extract<TraceEvent, { kind: K }> };

const PAGE = 0x1000;
const IOVA = 0x10_0000n;

/** A program that uses edu through iommufd, step by step, each of which may be refused. */
class Guest extends Client {
  readonly heard: Stamped[] = [];
  readonly #iommufds: number[] = [];
  readonly #devices: number[] = [];
  readonly #listening: Disposable;
  #registers: bigint | undefined;

  constructor() {
    super(machineOf());
    this.#listening = this.machine.env.trace.listen((stamped) => this.heard.push(stamped));
  }
  stopListening(): void {
    this.#listening[Symbol.dispose]();
  }
  openIommufd(): Result<number> {
    return this.#keep(this.#iommufds, this.open('/dev/iommu'));
  }
  openDevice(): Result<number> {
    return this.#keep(this.#devices, this.open('/dev/vfio/devices/vfio0'));
  }
  close(n: number): void {
    const fds = n % 2 === 0 ? this.#iommufds : this.#devices;
    const fd = fds.pop();
    if (fd !== undefined) done(this.program.close(fd));
  }
  bind(): Result<number> {
    const iommufd = this.#iommufds.at(-1) ?? -1;
    return this.call(this.#device, v.VFIO_DEVICE_BIND_IOMMUFD, v.vfio_device_bind_iommufd, {
      argsz: 16,
      iommufd: iommufd >>> 0,
    }).rc;
  }
  attach(pt_id: number): Result<number> {
    const type = v.vfio_device_attach_iommufd_pt;
    return this.call(this.#device, v.VFIO_DEVICE_ATTACH_IOMMUFD_PT, type, { argsz: 12, pt_id }).rc;
  }
  detach(): Result<number> {
    const type = v.vfio_device_detach_iommufd_pt;
    return this.call(this.#device, v.VFIO_DEVICE_DETACH_IOMMUFD_PT, type, { argsz: 8 }).rc;
  }
  ioas(): number {
    const { out } = this.#ofIommufd(i.IOMMU_IOAS_ALLOC, i.iommu_ioas_alloc, { size: 12 });
    return out.out_ioas_id;
  }
  destroy(id: number): Result<number> {
    return this.#ofIommufd(i.IOMMU_DESTROY, i.iommu_destroy, { size: 8, id }).rc;
  }
  mapAt(ioas_id: number, iova: bigint): Result<number> {
    const values = { size: 40, flags: 7, ioas_id, user_va: this.memory(PAGE), iova };
    return this.#ofIommufd(i.IOMMU_IOAS_MAP, i.iommu_ioas_map, { ...values, length: BigInt(PAGE) })
      .rc;
  }
  busMaster(): Result<number> {
    const config = BigInt(v.VFIO_PCI_CONFIG_REGION_INDEX) << 40n;
    return this.pwrite(this.#device, config + 4n, Uint8Array.of(6, 0));
  }
  mapRegisters(): void {
    const at = this.program.mmap(PAGE, { fd: this.#device });
    if (!isErrno(at)) this.#registers = at;
  }
  store(register: number, value: bigint, width = 4): void {
    if (this.#registers === undefined) return;
    void this.program.store(this.#registers + BigInt(register), width, value);
  }
  /** Let edu write its buffer to memory. */
  startDma(iova: bigint, length: number): void {
    this.store(EDU_REG.dmaSource, 0x4_0000n, 8);
    this.store(EDU_REG.dmaDestination, iova, 8);
    this.store(EDU_REG.dmaCount, BigInt(length), 8);
    this.store(EDU_REG.dmaCommand, BigInt(EDU_DMA_START | EDU_DMA_TO_RAM | EDU_DMA_IRQ));
  }
  wait(): void {
    this.machine.env.clock.advance(1e9);
  }
  /** The kernel forgets edu, as far as nobody has it open. */
  remove(): void {
    const isUsed = this.#devices.length > 0 || this.#registers !== undefined;
    if (!isUsed) this.#echo('1', `devices/${EDU}/remove`);
  }
  /** It finds edu again, for vfio-pci. */
  rescan(): void {
    this.#echo('1', 'rescan');
    this.#echo('vfio-pci', `devices/${EDU}/driver_override`);
    this.#echo(EDU, 'drivers_probe');
  }
  end(): void {
    this.program.exit();
    this.machine.close();
  }
  /** Events of a kind, with their stamps. */
  all<K extends TraceEvent['kind']>(kind: K): Of<K>[] {
    return this.heard.filter((stamped): stamped is Of<K> => stamped.event.kind === kind);
  }

  #echo(text: string, file: string): void {
    const fd = this.open(`/sys/bus/pci/${file}`);
    if (isErrno(fd)) return;
    void this.program.write(fd, new TextEncoder().encode(text));
    done(this.program.close(fd));
  }
  get #device(): number {
    return this.#devices.at(-1) ?? -1;
  }
  #ofIommufd<F extends Fields>(
    cmd: number,
    type: Struct<F>,
    values: Partial<Record<keyof F, number | bigint>>,
  ) {
    return this.call(this.#iommufds.at(-1) ?? -1, cmd, type, values);
  }
  #keep(list: number[], fd: Result<number>): Result<number> {
    if (!isErrno(fd)) list.push(fd);
    return fd;
  }
}

/** A guest whose edu can write a page of its memory. */
function ready(): Guest {
  const guest = new Guest();
  must(guest.openIommufd());
  must(guest.openDevice());
  must(guest.bind());
  const ioas = guest.ioas();
  must(guest.mapAt(ioas, IOVA));
  must(guest.attach(ioas));
  must(guest.busMaster());
  guest.mapRegisters();
  return guest;
}

describe('what a timer does', () => {
  test('points to the store that set it, and happens in a turn of its own', () => {
    const guest = ready();
    guest.startDma(IOVA + 8n, 16);
    guest.wait();
    const start = guest.all('mmio').find(({ event }) => event.offset === EDU_REG.dmaCommand)!;
    const [turn] = guest.all('enter').filter(({ event }) => event.what === 'turn');
    expect(turn).toMatchObject({ cause: start.seq, call: turn!.seq, event: { name: 'timer' } });
    expect(start.cause).toBe(start.call);
    for (const [happened] of [guest.all('dma'), guest.all('interrupt')]) {
      expect([happened?.call, happened?.cause]).toEqual([turn!.seq, start.seq]);
    }
    guest.end();
  });
  test('says where the bytes of a DMA went, until it was stopped', () => {
    const guest = ready();
    guest.startDma(IOVA + 0xff0n, 32);
    guest.wait();
    const [dma] = guest.all('dma');
    expect(dma?.event).toMatchObject({
      device: { kind: 'device', id: EDU, born: undefined },
      ...{ length: 32, ok: false, pieces: [{ iova: IOVA + 0xff0n, length: 16 }] },
    });
    expect(dma!.event.pieces[0]!.pa % 4096n).toBe(0xff0n);
    expect(guest.all('fault')[0]).toMatchObject({ call: dma!.call, cause: dma!.cause });
    guest.end();
  });
});

describe('a call that sleeps', () => {
  /** A call that is answered when `awake`. */
  function sleeper() {
    const guest = new Guest();
    const state = { awake: false };
    const queue = new WaitQueue();
    const ops = { stream: true, read: () => (state.awake ? 8 : queue) };
    const file = new OpenFile('/dev/test', ops, {});
    const { syscalls } = guest.machine;
    const read = () => syscalls.read(guest.program, file, new Uint8Array(8), undefined);
    const calls = () =>
      guest.heard.map(({ event, call }) => [event.kind, 'name' in event && event.name, call]);
    return { guest, state, read, calls };
  }
  test('is entered once and left once, with calls of others in between', () => {
    const { guest, state, read, calls } = sleeper();
    const other = guest.machine.program();
    expect(read()).toBeInstanceOf(WaitQueue);
    must(other.open('/dev/iommu'));
    expect(read()).toBeInstanceOf(WaitQueue);
    state.awake = true;
    expect(read()).toBe(8);
    expect(calls().filter(([kind]) => kind !== 'object-born')).toEqual([
      ...[
        ['enter', 'read', 1],
        ['enter', 'openat', 2],
        ['leave', 'openat', 2],
      ],
      ['leave', 'read', 1],
    ]);
    expect(guest.all('leave').at(-1)?.event.result).toBe(8);
    expect(read()).toBe(8);
    expect(calls().at(-1)).not.toEqual(['leave', 'read', 1]);
  });
  test('is left when it is given up, and what its thread calls next is another', () => {
    const { guest, read } = sleeper();
    expect(read()).toBeInstanceOf(WaitQueue);
    guest.machine.syscalls.giveUp(guest.program.tid);
    guest.machine.syscalls.giveUp(guest.program.tid);
    expect(guest.all('leave').map(({ event }) => event.result)).toEqual([EINTR]);
    expect(read()).toBeInstanceOf(WaitQueue);
    expect(guest.all('enter')).toHaveLength(2);
  });
  test('does not number the calls of others once nobody listens', () => {
    const { guest, state, read } = sleeper();
    const { trace } = guest.machine.env;
    expect(read()).toBeInstanceOf(WaitQueue);
    guest.stopListening();
    const other = guest.machine.program();
    must(other.open('/dev/iommu'));
    state.awake = true;
    expect(read()).toBe(8);
    using _ = trace.listen((stamped) => guest.heard.push(stamped));
    const last = guest.heard.at(-1)!.seq;
    other.exit();
    expect(guest.heard.find(({ seq }) => seq > last)!.seq).toBe(last + 1);
  });
});

test('nothing is numbered, kept or built while nobody listens', () => {
  const machine = machineOf();
  const program = machine.program();
  must(program.open('/dev/iommu'));
  const heard: Stamped[] = [];
  using _ = machine.env.trace.listen((stamped) => heard.push(stamped));
  program.exit();
  expect(heard[0]).toMatchObject({ seq: 0, call: 0, event: { kind: 'enter', name: 'close' } });
  expect(heard.map(({ event }) => ('object' in event ? event.object : event.kind))).toEqual([
    ...['enter', { kind: 'iommufd', id: '1', born: undefined }, 'leave'],
    { kind: 'process', id: '1000', born: undefined },
  ]);
});

test('a device is born when the kernel finds it, gone when it forgets it, and another when it is found again', () => {
  const guest = new Guest();
  const start = guest.heard.length;
  guest.remove();
  guest.rescan();
  guest.remove();
  const ours = guest.heard.slice(start).flatMap(({ seq, event }) => {
    if (event.kind === 'object-born' && event.object.kind === 'device') return [['born', seq]];
    if (event.kind === 'object-gone' && event.object.kind === 'device') {
      return [['gone', event.object.born]];
    }
    return event.kind === 'life' ? [[event.what, event.who.born]] : [];
  });
  const second = ours.find(([what]) => what === 'born')?.[1];
  expect(second).toBeTypeOf('number');
  expect(ours).toEqual([
    ['device-unbind', undefined],
    ['group-remove', undefined],
    ['gone', undefined],
    ['born', second],
    ['group-add', second],
    ['device-bind', second],
    ['device-unbind', second],
    ['group-remove', second],
    ['gone', second],
  ]);
  guest.end();
});

test('the hardware of a device is named as the device', () => {
  const guest = new Guest();
  guest.remove();
  guest.rescan();
  const [born] = guest.all('object-born').filter(({ event }) => event.object.kind === 'device');
  const { fn } = guest.machine.pci.device(EDU)!;
  fn.reset('function');
  expect(guest.all('life').at(-1)?.event).toMatchObject({
    what: 'device-reset',
    who: { kind: 'device', id: EDU, born: born!.seq },
  });
  guest.remove();
  fn.reset('function');
  expect(guest.all('life').at(-1)?.event.who).toEqual({ kind: 'device', id: EDU, born: undefined });
  guest.end();
});

/** Every object an event names. */
function refsOf(event: TraceEvent): Ref[] {
  return Object.values(event).filter(
    (value: unknown): value is Ref =>
      typeof value === 'object' && value !== null && 'born' in value && 'id' in value,
  );
}

/** What holds for the stream of a program whose calls do not sleep. */
function checkStream(heard: readonly Stamped[]): void {
  const open: number[] = [];
  const living = new Map<number, string>();
  /** The one that lives under a name now. */
  const bornAs = (name: string) => [...living].find(([, each]) => each === name)?.[0];
  for (const [n, { seq, call, cause, event }] of heard.entries()) {
    expect(seq).toBe(n);
    if (cause !== undefined) expect(cause).toBeLessThan(seq);
    if (event.kind === 'enter') open.push(seq);
    expect(call).toBe(open.at(-1));
    if (event.kind === 'leave') open.pop();
    for (const { kind, id, born } of refsOf(event)) {
      if (born !== undefined) expect(living.get(born)).toBe(`${kind} ${id}`);
      else expect(bornAs(`${kind} ${id}`)).toBeUndefined();
    }
    if (event.kind === 'object-born') living.set(seq, `${event.object.kind} ${event.object.id}`);
    if (event.kind === 'object-gone') living.delete(event.object.born ?? -1);
  }
  expect(open).toEqual([]);
  // A device stays when its machine ends.
  expect([...living.values()].filter((name) => name !== `device ${EDU}`)).toEqual([]);
}

const small = fc.nat({ max: 4 });
/** A step, and how likely it is: a stream of nothing but refusals says little. */
const STEPS: readonly [number, fc.Arbitrary<(guest: Guest) => unknown>][] = [
  [2, fc.constant((guest: Guest) => guest.openIommufd())],
  [2, fc.constant((guest: Guest) => guest.openDevice())],
  [2, fc.constant((guest: Guest) => guest.bind())],
  [3, fc.constant((guest: Guest) => guest.ioas())],
  [2, small.map((n) => (guest: Guest) => guest.close(n))],
  [3, small.map((n) => (guest: Guest) => guest.attach(n))],
  [1, fc.constant((guest: Guest) => guest.detach())],
  [1, small.map((n) => (guest: Guest) => guest.destroy(n))],
  [3, small.map((n) => (guest: Guest) => guest.mapAt(1 + (n >> 2), IOVA + BigInt(n) * 4096n))],
  [2, fc.constant((guest: Guest) => guest.busMaster())],
  [2, fc.constant((guest: Guest) => guest.mapRegisters())],
  [3, small.map((n) => (guest: Guest) => guest.startDma(IOVA + BigInt(n) * 4000n, 900 * n))],
  [2, fc.constant((guest: Guest) => guest.wait())],
  [1, fc.constant((guest: Guest) => guest.remove())],
  [1, fc.constant((guest: Guest) => guest.rescan())],
  [1, fc.constant((guest: Guest) => guest.store(EDU_REG.factorial, 5n))],
];

test('calls nest, causes come first and objects are born before they are named, in any program', () => {
  const step = fc.oneof(...STEPS.map(([weight, arbitrary]) => ({ weight, arbitrary })));
  const kinds = new Set<string>();
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.array(step, { minLength: 20, maxLength: 40 }),
      (isReady, steps) => {
        const guest = isReady ? ready() : new Guest();
        for (const run of steps) run(guest);
        guest.end();
        checkStream(guest.heard);
        for (const { event } of guest.heard) kinds.add(event.kind);
      },
    ),
    { numRuns: 40 },
  );
  const met = ['dma', 'fault', 'map', 'unmap', 'driver', 'invalidate', 'mmio', 'interrupt', 'life'];
  expect([...kinds]).toEqual(expect.arrayContaining(met));
});
