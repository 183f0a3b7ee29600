/** A device that migrates: its states, what it does in them, the stream, and the log of its DMA (vfio.md 2.10). */
import { describe, expect, test } from 'vitest';
import {
  E2BIG,
  EBADF,
  EFAULT,
  EINVAL,
  EIO,
  ENODEV,
  ENOMSG,
  ENOTTY,
  EOVERFLOW,
  ESPIPE,
  type Errno,
} from '../../src/base/errno.ts';
import { encodePlain } from '../../src/base/plain-values.ts';
import { createMachine } from '../../src/machine/create-machine.ts';
import type { MachineInput } from '../../src/machine/description/description.ts';
import { EDU_BUFFER, EDU_REG } from '../../src/devices/edu/edu.ts';
import { DEVICE_TYPES } from '../../src/devices/index.ts';
import type { DeviceType } from '../../src/devices/port.ts';
import { imageOf } from '../../src/machine/hardware/device-images.ts';
import { must } from '../../src/testing/base/must.ts';
import { machineOf } from '../../src/testing/machine/client.ts';
import { MigrationClient } from '../../src/testing/machine/migration-client.ts';
import * as v from '../../src/uapi/vfio.ts';

const { VFIO_DEVICE_FEATURE_GET: GET, VFIO_DEVICE_FEATURE_SET: SET } = v;
const PROBE = v.VFIO_DEVICE_FEATURE_PROBE;
const STATE = v.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
const {
  VFIO_DEVICE_STATE_STOP: STOP,
  VFIO_DEVICE_STATE_RUNNING: RUNNING,
  VFIO_DEVICE_STATE_STOP_COPY: STOP_COPY,
  VFIO_DEVICE_STATE_RESUMING: RESUMING,
  VFIO_DEVICE_STATE_RUNNING_P2P: RUNNING_P2P,
  VFIO_DEVICE_STATE_PRE_COPY: PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P: PRE_COPY_P2P,
} = v;
const ERROR = v.VFIO_DEVICE_STATE_ERROR;
const [A, B] = ['0000:00:04.0', '0000:00:05.0'] as const;
const CONFIG = 7n << 40n;
const IOVA = 0x10_0000n;
const MS = 1e6;

type Choice = 'none' | 'stop-copy' | 'p2p' | 'pre-copy';
const edu = (at: string, migration: Choice, options = {}) => ({
  type: 'edu',
  at,
  migration,
  options: { pcie: true, ...options },
});
const twoEdus = (migration: Choice = 'pre-copy'): MachineInput => ({
  devices: [edu(A, migration), edu(B, migration)],
});

/** Both devices in a container, with 64 KiB at IOVA. */
function rig(input: MachineInput = twoEdus()) {
  const client = new MigrationClient(machineOf(input));
  const { c, g, d: a } = client.device(v.VFIO_TYPE1v2_IOMMU, A);
  const other = client.group(B);
  must(client.setContainer(other, c));
  const b = must(client.deviceFd(other, B));
  const memory = client.memory(0x1_0000);
  must(client.map(c, { vaddr: memory, iova: IOVA, size: 0x1_0000n }));
  for (const d of [a, b]) must(client.pwrite(d, CONFIG + 4n, Uint8Array.of(6, 0)));
  const put = (d: number, at: number, value: bigint | number) =>
    must(client.pwrite(d, BigInt(at), new Uint8Array(new BigUint64Array([BigInt(value)]).buffer)));
  const put4 = (d: number, at: number, value: number) =>
    must(client.pwrite(d, BigInt(at), new Uint8Array(new Uint32Array([value]).buffer)));
  const get4 = (d: number, at: number) =>
    new DataView(must(client.pread(d, BigInt(at), 4)).slice().buffer).getUint32(0, true);
  /** The buffer of an edu to memory: 100 ms later it is there. */
  const dma = (d: number, iova = IOVA, command = 3) => {
    put(d, EDU_REG.dmaSource, EDU_BUFFER);
    put(d, EDU_REG.dmaDestination, iova);
    put(d, EDU_REG.dmaCount, 64);
    put(d, EDU_REG.dmaCommand, command);
  };
  /** Something into the buffer of an edu. */
  const fill = (d: number, byte: number) => {
    client.put(memory + 0x8000n, new Uint8Array(64).fill(byte));
    put(d, EDU_REG.dmaSource, IOVA + 0x8000n);
    put(d, EDU_REG.dmaDestination, EDU_BUFFER);
    put(d, EDU_REG.dmaCount, 64);
    put(d, EDU_REG.dmaCommand, 1);
    client.machine.env.clock.advance(100 * MS);
  };
  const advance = (ms: number) => client.machine.env.clock.advance(ms * MS);
  const seen = () => client.bytes(memory, 1)[0]!;
  return { client, c, g, a, b, memory, put, put4, get4, dma, fill, advance, seen };
}
/** The whole stream of a device that runs. */
function saved(client: MigrationClient, d: number): Uint8Array {
  const fd = must(client.setState(d, STOP_COPY));
  const { bytes, end } = client.drain(fd);
  expect(end).toBe(0);
  must(client.program.close(fd) ?? 0);
  return bytes;
}
/** What comes of writing a stream and going on to STOP. */
function restore(client: MigrationClient, d: number, bytes: Uint8Array): number | Errno {
  const fd = must(client.setState(d, RESUMING));
  must(client.feed(fd, bytes));
  return client.setState(d, STOP);
}

describe('what a device offers', () => {
  test.for<[Choice, number | Errno]>([
    ['none', ENOTTY],
    ['stop-copy', 1],
    ['p2p', 3],
    ['pre-copy', 7],
  ])('migration: %s', ([choice, flags]) => {
    const { client, a } = rig(twoEdus(choice));
    const index = GET | v.VFIO_DEVICE_FEATURE_MIGRATION;
    const { rc, out } = client.feature(a, index, v.vfio_device_feature_migration);
    expect(rc === 0 ? Number(out.flags) : rc).toBe(flags);
  });
  test.for<[name: string, index: number, ops: number]>([
    ['MIGRATION', 1, GET],
    ['MIG_DEVICE_STATE', 2, GET | SET],
    ['DMA_LOGGING_START', 6, SET],
    ['DMA_LOGGING_STOP', 7, SET],
    ['DMA_LOGGING_REPORT', 8, GET],
    ['MIG_DATA_SIZE', 9, GET],
    ['MIG_PRECOPY_INFOv2', 12, SET],
  ])('the feature %s can be asked for, and is not there without migration', ([, index, ops]) => {
    const { client, a } = rig();
    expect(client.plainFeature(a, index | ops | PROBE)).toBe(0);
    expect(client.plainFeature(a, index | PROBE)).toBe(0);
    if (ops !== (GET | SET)) {
      expect(client.plainFeature(a, index | (ops ^ (GET | SET)))).toBe(EINVAL);
    }
    if (index !== 7 && index !== 12)
      expect(client.plainFeature(a, index | (ops & SET || GET))).toBe(EINVAL);
    const none = rig(twoEdus('none'));
    expect(none.client.plainFeature(none.a, index | PROBE)).toBe(index === 12 ? EINVAL : ENOTTY);
    const old = rig({ ...twoEdus(), kernel: { version: '6.1' } });
    expect(old.client.plainFeature(old.a, index | PROBE)).toBe(ENOTTY);
  });
  test('feature 12 is of devices with PRE_COPY only', () => {
    const { client, a } = rig(twoEdus('p2p'));
    expect(client.plainFeature(a, 12 | SET)).toBe(EINVAL);
  });
  test('debugfs says what it can and what it does', () => {
    const { client, a } = rig();
    const text = (file: string) => client.text(`/sys/kernel/debug/vfio/${A}/migration/${file}`);
    expect(text('features')).toBe('stop-copy\np2p\npre-copy\n');
    must(client.setState(a, STOP));
    expect(text('state')).toBe('STOP\n');
  });
  test.for<[string, object, string]>([
    [
      'a bridge',
      { type: 'root-port', at: A, devices: [{ type: 'edu', at: '0000:01:00.0' }] },
      'taken',
    ],
    ['ats-testdev', { type: 'ats-testdev', at: A }, 'taken elsewhere'],
    ['a function with SR-IOV', { type: 'igb', at: A }, 'SR-IOV'],
    ['a virtual function', { type: 'edu', at: A, vfOf: B }, 'virtual function'],
  ])('%s cannot migrate', ([, device, words]) => {
    const devices = [
      { ...device, migration: 'p2p' },
      { type: 'edu', at: B },
    ] as never;
    const made = createMachine({ devices });
    expect(JSON.stringify('problems' in made && made.problems)).toContain(words);
  });
});

describe('the states', () => {
  const NAMES = [ERROR, STOP, RUNNING, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P];
  test('an fd comes with the end of a way that begins a stream', () => {
    for (const from of NAMES.slice(1)) {
      for (const to of NAMES) {
        const { client, a } = rig();
        must(client.setState(a, from));
        const isBackwards = from === STOP_COPY && (to === PRE_COPY || to === PRE_COPY_P2P);
        // A session that restores cannot be left with nothing: that needs a reset.
        const leavesEmpty = from === RESUMING && to !== RESUMING;
        const rc = client.setState(a, to);
        if (to === ERROR || isBackwards || leavesEmpty) {
          expect([from, to, rc, client.state(a)]).toEqual([from, to, EINVAL, from]);
          continue;
        }
        const isSaving = [STOP_COPY, PRE_COPY, PRE_COPY_P2P];
        const begins =
          from !== to && (to === RESUMING || (isSaving.includes(to) && !isSaving.includes(from)));
        expect([from, to, must(rc) >= 0, client.state(a)]).toEqual([from, to, begins, to]);
      }
    }
  });
  test('the struct is written back with -1 where there is no fd, and when it fails', () => {
    const { client, a } = rig();
    const type = v.vfio_device_feature_mig_state;
    const set = (device_state: number) =>
      client.feature(a, SET | STATE, type, { device_state, data_fd: 77 });
    expect([set(STOP).out.data_fd | 0, set(9).rc, set(9).out.data_fd | 0]).toEqual([
      -1,
      EINVAL,
      -1,
    ]);
    const get = client.feature(a, GET | STATE, type, { data_fd: 77 });
    expect([get.out.device_state, get.out.data_fd | 0]).toEqual([STOP, -1]);
  });
  test.for<[Choice, number[]]>([
    ['stop-copy', [RUNNING_P2P, PRE_COPY, PRE_COPY_P2P]],
    ['p2p', [PRE_COPY, PRE_COPY_P2P]],
  ])('of a device with %s some are not there', ([choice, missing]) => {
    const { client, a } = rig(twoEdus(choice));
    for (const state of missing) expect(client.setState(a, state)).toBe(EINVAL);
    must(client.setState(a, STOP_COPY));
    must(client.setState(a, RUNNING));
    expect(client.state(a)).toBe(RUNNING);
  });
  test.for<[string, (d: number, client: MigrationClient) => unknown]>([
    ['DEVICE_RESET', (d, client) => must(client.plain(d, v.VFIO_DEVICE_RESET))],
    ['FLR by configuration space', (d, client) => flr(client, d)],
    ['sysfs', (_d, client) => sysfsReset(client)],
  ])('a reset by %s brings RUNNING, and ends the stream', ([, reset]) => {
    const { client, a, get4 } = rig();
    const fd = must(client.setState(a, STOP_COPY));
    reset(a, client);
    expect([client.state(a), get4(a, EDU_REG.id)]).toEqual([RUNNING, 0x0100_00ed]);
    expect(client.program.read(fd, new Uint8Array(1))).toBe(ENODEV);
  });
  test('the last close brings RUNNING, and ends the stream', () => {
    const { client, g, a } = rig();
    const fd = must(client.setState(a, RESUMING));
    must(client.program.close(a) ?? 0);
    expect(client.program.write(fd, Uint8Array.of(1))).toBe(ENODEV);
    const again = must(client.deviceFd(g, A));
    expect(client.state(again)).toBe(RUNNING);
  });
});

function flr(client: MigrationClient, d: number): void {
  const config = must(client.pread(d, CONFIG, 256));
  let at = config[0x34]!;
  while (config[at] !== 0x10) at = config[at + 1]!;
  must(client.pwrite(d, CONFIG + BigInt(at + 9), Uint8Array.of(0x80)));
}
function sysfsReset(client: MigrationClient): void {
  const fd = must(client.program.open(`/sys/bus/pci/devices/${A}/reset`, { write: true }));
  must(client.program.write(fd, new TextEncoder().encode('1')));
}

describe('a device in STOP', () => {
  test('moves nothing, and goes on from there', () => {
    const { client, a, fill, dma, advance, seen } = rig();
    fill(a, 0xa5);
    dma(a);
    advance(40);
    must(client.setState(a, STOP));
    advance(5000);
    expect(seen()).toBe(0);
    must(client.setState(a, RUNNING));
    advance(59);
    expect(seen()).toBe(0);
    advance(1);
    expect(seen()).toBe(0xa5);
  });
  test('does not change by accesses to its registers; its configuration space answers', () => {
    const { client, a, get4, put4 } = rig();
    put4(a, EDU_REG.liveness, 1);
    must(client.setState(a, STOP));
    put4(a, EDU_REG.liveness, 2);
    expect(get4(a, EDU_REG.liveness)).toBe(0xffff_ffff);
    expect([...must(client.pread(a, CONFIG, 4))]).toEqual([0x34, 0x12, 0xe8, 0x11]);
    must(client.setState(a, RUNNING));
    expect(get4(a, EDU_REG.liveness)).toBe(0xffff_fffe);
  });
  test('interrupts nobody', () => {
    const { client, a, put4, advance } = rig();
    const fd = client.eventfd();
    must(client.setIrqs(a, { flags: 0x24, index: 1 }, [fd]));
    put4(a, EDU_REG.status, 0x80);
    put4(a, EDU_REG.factorial, 3);
    must(client.setState(a, STOP));
    advance(1000);
    expect(client.counter(fd)).toBe(0n);
    must(client.setState(a, RUNNING));
    advance(1);
    expect(client.counter(fd)).toBe(1n);
  });
  test('is told of what changed in its configuration space when it goes on', () => {
    const heard: boolean[] = [];
    const watcher: DeviceType = {
      ...DEVICE_TYPES.get('pci-testdev')!,
      type: 'watcher',
      create(port, options) {
        port.config.watch('busMaster', (on) => void heard.push(on));
        return DEVICE_TYPES.get('pci-testdev')!.create(port, options);
      },
    };
    const made = createMachine(
      { devices: [{ type: 'watcher', at: A, migration: 'stop-copy' }] },
      { deviceTypes: new Map([['watcher', watcher]]) },
    );
    if ('problems' in made) throw new Error(JSON.stringify(made.problems));
    const client = new MigrationClient(made.machine);
    const { d } = client.device();
    const command = (value: number) => must(client.pwrite(d, CONFIG + 4n, Uint8Array.of(value, 0)));
    command(6);
    must(client.setState(d, STOP));
    command(2);
    command(6);
    command(2);
    expect(heard).toEqual([true]);
    must(client.setState(d, RUNNING));
    expect(heard).toEqual([true, false]);
  });
});

describe('a device in RUNNING_P2P', () => {
  /** The registers of B, mapped for A at 16 MiB. */
  function peers() {
    const made = rig();
    const bar = must(made.client.program.mmap(0x10_0000, { fd: made.b }));
    must(made.client.map(made.c, { vaddr: bar, iova: 0x100_0000n, size: 0x10_0000n }));
    made.fill(made.a, 0x11);
    const writesB = () => {
      made.put4(made.b, EDU_REG.liveness, 0);
      made.put(made.a, EDU_REG.dmaCount, 4);
      made.put(made.a, EDU_REG.dmaSource, EDU_BUFFER);
      made.put(made.a, EDU_REG.dmaDestination, 0x100_0000n + BigInt(EDU_REG.liveness));
      made.put(made.a, EDU_REG.dmaCommand, 3);
      made.advance(100);
      return made.get4(made.b, EDU_REG.liveness) === ~0x1111_1111 >>> 0;
    };
    return { ...made, writesB };
  }
  test.for<[string, number, boolean]>([
    ['RUNNING', RUNNING, true],
    ['RUNNING_P2P', RUNNING_P2P, false],
    ['PRE_COPY', PRE_COPY, true],
    ['PRE_COPY_P2P', PRE_COPY_P2P, false],
  ])('in %s its DMA to the registers of another device: %s', ([, state, reaches]) => {
    const { client, a, writesB, dma, advance, seen } = peers();
    must(client.setState(a, state));
    expect(writesB()).toBe(reaches);
    dma(a);
    advance(100);
    expect(seen()).toBe(0x11);
  });
  test('is reached by others', () => {
    const { client, b, writesB } = peers();
    must(client.setState(b, RUNNING_P2P));
    expect(writesB()).toBe(true);
  });
});

describe('the stream', () => {
  test('makes another device go on where the first one stopped', () => {
    const { client, a, b, fill, dma, advance, seen, put4, get4 } = rig();
    fill(a, 0x77);
    put4(a, EDU_REG.liveness, 0x1234);
    dma(a);
    advance(30);
    const bytes = saved(client, a);
    expect(restore(client, b, bytes)).toBe(-1);
    advance(1000);
    expect(seen()).toBe(0);
    must(client.setState(b, RUNNING));
    expect(get4(b, EDU_REG.liveness)).toBe(~0x1234 >>> 0);
    advance(69);
    expect(seen()).toBe(0);
    advance(1);
    expect(seen()).toBe(0x77);
  });
  test('is as long as MIG_DATA_SIZE said', () => {
    const { client, a } = rig();
    const index = GET | v.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE;
    const { rc, out } = client.feature(a, index, v.vfio_device_feature_mig_data_size);
    must(rc);
    expect(saved(client, a)).toHaveLength(Number(out.stop_copy_length));
  });
  test('can be read and written in pieces of any size', () => {
    const { client, a, b } = rig();
    const fd = must(client.setState(a, STOP_COPY));
    const { bytes } = client.drain(fd, 7);
    must(client.setState(a, STOP));
    expect(saved(client, a)).toEqual(bytes);
    const to = must(client.setState(b, RESUMING));
    must(client.feed(to, bytes, 13));
    expect(client.setState(b, STOP)).toBe(-1);
  });
  test('has one direction, and no positions', () => {
    const { client, a, b } = rig();
    const [from, to] = [must(client.setState(a, STOP_COPY)), must(client.setState(b, RESUMING))];
    const { program } = client;
    const byte = new Uint8Array(1);
    expect([
      program.write(from, byte),
      program.read(to, byte),
      program.read(from, byte, 0n),
      program.write(to, byte, 0n),
      client.plain(from, 0x3b78),
      client.plain(to, v.VFIO_MIG_GET_PRECOPY_INFO),
    ]).toEqual([EBADF, EBADF, ESPIPE, ESPIPE, ENOTTY, ENOTTY]);
  });
  test('ends when its part is over', () => {
    const { client, a } = rig();
    const from = must(client.setState(a, STOP_COPY));
    must(client.setState(a, STOP));
    expect(client.program.read(from, new Uint8Array(1))).toBe(ENODEV);
  });

  const cut = (bytes: Uint8Array) => bytes.subarray(0, -1);
  const headOf = (bytes: Uint8Array) => bytes.subarray(0, headLength(bytes));
  const flipped = (bytes: Uint8Array) =>
    bytes.map((byte, n) => (n === bytes.length - 9 ? byte ^ 1 : byte));
  const twice = (bytes: Uint8Array) =>
    Uint8Array.of(...bytes, ...bytes.subarray(headLength(bytes)));
  const followed = (bytes: Uint8Array) => Uint8Array.of(...bytes, 1, 2, 3);
  const noObject = (bytes: Uint8Array) => withImage(headOf(bytes), encodeAsImage(7));
  test.for<[string, (bytes: Uint8Array) => Uint8Array, number | Errno, number]>([
    ['as it was', (bytes) => bytes, -1, STOP],
    ['with its image twice', twice, -1, STOP],
    ['of nothing', () => new Uint8Array(0), EINVAL, RESUMING],
    ['of half a head', (bytes) => bytes.subarray(0, 9), EINVAL, RESUMING],
    ['of its head alone', headOf, EINVAL, RESUMING],
    ['without its last byte', cut, EINVAL, RESUMING],
    ['with one bit changed', flipped, EINVAL, RESUMING],
    ['with bytes behind it', followed, EINVAL, RESUMING],
    ['with a number for a state', noObject, EINVAL, RESUMING],
    ['with the state of nothing', (b) => withImage(headOf(b), imageOf({})), EIO, ERROR],
  ])('%s: %s', ([, change, wanted, state]) => {
    const { client, a, b, get4 } = rig();
    const bytes = change(saved(client, a));
    expect(restore(client, b, bytes)).toBe(wanted);
    expect(client.state(b)).toBe(state);
    if (state === ERROR) expect(client.setState(b, RUNNING)).toBe(EINVAL);
    must(client.plain(b, v.VFIO_DEVICE_RESET));
    expect([client.state(b), get4(b, EDU_REG.id)]).toEqual([RUNNING, 0x0100_00ed]);
  });
  test('goes on after bytes that were not enough', () => {
    const { client, a, b } = rig();
    const bytes = saved(client, a);
    const fd = must(client.setState(b, RESUMING));
    must(client.feed(fd, cut(bytes)));
    expect(client.setState(b, STOP)).toBe(EINVAL);
    must(client.feed(fd, bytes.subarray(-1)));
    expect(client.setState(b, STOP)).toBe(-1);
  });
  test('of another device, or of one with other options, is refused at once', () => {
    const devices = [edu(A, 'p2p'), edu(B, 'p2p', { dma_mask_bits: 40 })];
    const { client, a, b } = rig({ devices });
    const bytes = saved(client, a);
    const fd = must(client.setState(b, RESUMING));
    expect(client.feed(fd, bytes, bytes.length)).toBe(EINVAL);
  });
});

function headLength(bytes: Uint8Array): number {
  const first = bytes.indexOf(10);
  return bytes.indexOf(10, first + 1) + 1;
}
function withImage(head: Uint8Array, image: Uint8Array): Uint8Array {
  return Uint8Array.of(...head, ...image);
}
/** An image of what is no object. */
function encodeAsImage(value: number): Uint8Array {
  const image = imageOf({});
  const body = encodePlain(value);
  const other = imageOf(body);
  expect(other.length).toBeGreaterThan(image.length);
  return Uint8Array.of(9, 0, 0, 0, ...crcOf(body), ...body);
}
function crcOf(bytes: Uint8Array): number[] {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let n = 0; n < 8; n++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0);
  }
  return [...new Uint8Array(new Uint32Array([~crc]).buffer)];
}

describe('PRE_COPY', () => {
  function precopy(flags = 0xabcd) {
    const made = rig();
    const fd = must(made.client.setState(made.a, PRE_COPY));
    const info = (argsz = 24) => {
      const values = { argsz, flags };
      const { rc, out } = made.client.call(
        fd,
        v.VFIO_MIG_GET_PRECOPY_INFO,
        v.vfio_precopy_info,
        values,
      );
      return rc === 0 ? [Number(out.initial_bytes), Number(out.dirty_bytes), out.flags] : rc;
    };
    return { ...made, fd, info };
  }
  test('gives the state of the running device, and then what changed', () => {
    const { client, a, b, fd, info, put4, get4 } = precopy();
    const [initial] = info() as number[];
    expect(info()).toEqual([initial, 0, 0xabcd]);
    const first = client.drain(fd, 100);
    expect([first.bytes.length, first.end]).toEqual([initial, ENOMSG]);
    expect(info()).toEqual([0, 0, 0xabcd]);
    put4(a, EDU_REG.liveness, 0x55);
    const [, dirty] = info() as number[];
    expect(dirty).toBeGreaterThan(0);
    const second = client.drain(fd, 100);
    expect([second.bytes.length, second.end]).toEqual([dirty, ENOMSG]);
    put4(a, EDU_REG.liveness, 0x66);
    expect(client.setState(a, STOP_COPY)).toBe(-1);
    expect(info()).toBe(EINVAL);
    const last = client.drain(fd);
    expect(last.end).toBe(0);
    const all = Uint8Array.of(...first.bytes, ...second.bytes, ...last.bytes);
    expect(restore(client, b, all)).toBe(-1);
    must(client.setState(b, RUNNING));
    expect(get4(b, EDU_REG.liveness)).toBe(~0x66 >>> 0);
  });
  test('nothing needs to be read before the device stops', () => {
    const { client, a, b, fd } = precopy();
    must(client.setState(a, PRE_COPY_P2P));
    must(client.setState(a, STOP_COPY));
    const { bytes, end } = client.drain(fd);
    expect(end).toBe(0);
    expect(restore(client, b, bytes)).toBe(-1);
  });
  test('can be given up, and the fd with it', () => {
    const { client, a, fd, info } = precopy();
    must(client.setState(a, RUNNING));
    expect([info(), client.program.read(fd, new Uint8Array(1))]).toEqual([EINVAL, ENODEV]);
  });
  test('flags of the answer mean something after feature 12 only, until the last close', () => {
    const { client, g, a, info } = precopy();
    must(client.plainFeature(a, 12 | SET));
    expect((info() as number[])[2]).toBe(0);
    must(client.program.close(a) ?? 0);
    const again = must(client.deviceFd(g, A));
    const fd = must(client.setState(again, PRE_COPY));
    const { out } = client.call(fd, v.VFIO_MIG_GET_PRECOPY_INFO, v.vfio_precopy_info, { flags: 9 });
    expect(out.flags).toBe(9);
  });
  test('a struct that is too short, or nowhere', () => {
    const { client, fd, info } = precopy();
    expect(info(23)).toBe(EINVAL);
    expect(client.program.ioctl(fd, v.VFIO_MIG_GET_PRECOPY_INFO, 0x10n)).toBe(EFAULT);
  });
});

describe('the log of DMA', () => {
  const START = SET | v.VFIO_DEVICE_FEATURE_DMA_LOGGING_START;
  const STOP_LOG = SET | v.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP;
  const REPORT = GET | v.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT;
  type Range = readonly [iova: bigint, length: bigint];
  function logging() {
    const made = rig();
    const { client, a, memory } = made;
    const start = (ranges: readonly Range[], given: Record<string, number | bigint> = {}) => {
      const at = memory + 0x4000n;
      client.put(at, new Uint8Array(new BigUint64Array(ranges.flat()).buffer));
      const values = { page_size: 4096n, num_ranges: ranges.length, ranges: at, ...given };
      const type = v.vfio_device_feature_dma_logging_control;
      const { rc, out } = client.feature(a, START, type, values);
      return rc === 0 ? Number(out.page_size) : rc;
    };
    const report = (
      given: Record<string, number | bigint> = {},
      before: readonly number[] = [],
    ) => {
      const bitmap = memory + 0x5000n;
      client.put(
        bitmap,
        Uint8Array.from({ length: 8 }, (_, n) => before[n] ?? 0),
      );
      const values = { iova: IOVA, length: 0x1_0000n, page_size: 4096n, bitmap, ...given };
      const type = v.vfio_device_feature_dma_logging_report;
      const { rc } = client.feature(a, REPORT, type, values);
      return rc === 0 ? [...client.bytes(bitmap, 4)] : rc;
    };
    const writes = (iova: bigint) => {
      made.dma(a, iova);
      made.advance(100);
    };
    return { ...made, start, report, writes };
  }
  const ALL: readonly Range[] = [[IOVA, 0x1_0000n]];

  test('has the pages that were written, once', () => {
    const { start, report, writes } = logging();
    expect(start(ALL)).toBe(4096);
    writes(IOVA + 0x1000n);
    writes(IOVA + 0x9fe0n); // across the end of page 9
    expect(report()).toEqual([0b10, 0b110, 0, 0]);
    expect(report()).toEqual([0, 0, 0, 0]);
  });
  test('has nothing of reads, of transfers that were refused, and of what lies beyond its ranges', () => {
    const { a, start, report, writes, dma, advance } = logging();
    start([
      [IOVA, 0x1000n],
      [IOVA + 0x3000n, 0x1000n],
    ]);
    dma(a, IOVA, 1);
    advance(100);
    writes(0x900_0000n);
    writes(IOVA + 0x2000n);
    expect(report()).toEqual([0, 0, 0, 0]);
    writes(IOVA + 0x2fe0n);
    expect(report()).toEqual([0b1000, 0, 0, 0]);
  });
  test('only sets bits', () => {
    const { start, report, writes } = logging();
    start(ALL);
    writes(IOVA);
    expect(report({}, [0x80, 0xff])).toEqual([0x81, 0xff, 0, 0]);
  });
  test('is asked for in pages of another size, and in parts', () => {
    const { start, report, writes } = logging();
    start(ALL);
    writes(IOVA + 0x9000n);
    expect(report({ length: 0x8000n })).toEqual([0, 0, 0, 0]);
    expect(report({ page_size: 0x8000n })).toEqual([0b10, 0, 0, 0]);
    start(ALL);
    writes(IOVA + 0x9000n);
    expect(report({ iova: IOVA + 0x8000n, length: 0x4000n })).toEqual([0b10, 0, 0, 0]);
  });
  test('of large pages is told in small ones', () => {
    const { client, a, start, report, writes } = logging();
    expect(start(ALL, { page_size: 0x8000n })).toBe(0x8000);
    writes(IOVA + 0x9000n);
    expect(report()).toEqual([0, 0xff, 0, 0]);
    must(client.plainFeature(a, STOP_LOG));
    expect(start([[0n, 1n << 40n]], { page_size: 1n << 40n })).toBe(2 ** 30);
  });
  test('ends with STOP, and with the last close', () => {
    const { client, g, a, start, report } = logging();
    start(ALL);
    must(client.plainFeature(a, STOP_LOG));
    must(client.plainFeature(a, STOP_LOG));
    expect(report()).toBe(EINVAL);
    expect(start(ALL)).toBe(4096);
    must(client.program.close(a) ?? 0);
    expect(must(client.deviceFd(g, A))).toBe(a);
    expect(start(ALL)).toBe(4096);
  });
  test.for<[string, readonly Range[], Record<string, number | bigint>, Errno]>([
    ['of no range', [], {}, EINVAL],
    ['of too many', [], { num_ranges: 257 }, E2BIG],
    ['by no page', ALL, { page_size: 0n }, EINVAL],
    ['by three pages', ALL, { page_size: 0x3000n }, EINVAL],
    ['from inside a page', [[IOVA + 1n, 0x1000n]], {}, EINVAL],
    ['of half a page', [[IOVA, 0x800n]], {}, EINVAL],
    ['of nothing', [[IOVA, 0n]], {}, EINVAL],
    ['of ranges that overlap', [...ALL, [IOVA + 0xf000n, 0x1000n]], {}, EINVAL],
    ['of one that wraps', [[(1n << 64n) - 0x1000n, 0x2000n]], {}, EOVERFLOW],
    ['with ranges that are nowhere', ALL, { ranges: 0x10n }, EFAULT],
  ])('%s is refused', ([, ranges, given, errno]) => {
    const { start } = logging();
    expect(start(ranges, given)).toBe(errno);
    expect(start(ALL)).toBe(4096);
    expect(start(ALL)).toBe(EINVAL);
  });
  test.for<[string, Record<string, number | bigint>, Errno]>([
    ['small pages', { page_size: 2048n }, EINVAL],
    ['three pages at once', { page_size: 0x3000n }, EINVAL],
    ['nothing', { length: 0n }, EINVAL],
    ['a range that wraps', { iova: (1n << 64n) - 0x1000n, length: 0x2000n }, EOVERFLOW],
    ['a bitmap that is nowhere', { bitmap: 0x10n }, EFAULT],
  ])('a report of %s is refused', ([, given, errno]) => {
    const { start, report, writes } = logging();
    start(ALL);
    writes(IOVA);
    expect(report(given)).toBe(errno);
  });
});

describe('every type that can migrate', () => {
  const types = [...DEVICE_TYPES.values()].filter(({ migratable }) => migratable);
  test('is most of them', () => {
    const others = [...DEVICE_TYPES.keys()].filter(
      (name) => !types.some(({ type }) => type === name),
    );
    expect(others).toEqual(['ats-testdev']);
  });
  test.for(types.map(({ type }) => type))(
    '%s: what was restored gives the same stream again',
    (type) => {
      const options = type === 'igb' ? { vfs: 0 } : {};
      const device = (at: string) => ({ type, at, migration: 'pre-copy' as const, options });
      const kernel = { with: ['vfio-denylist-off' as const] };
      const { client, a, b } = rig({ kernel, devices: [device(A), device(B)] });
      const { index } = client.machine.pci.device(A)!.fn.identity.bars[0]!;
      const bar = BigInt(index) << 40n;
      for (let at = 0n; at < 0x40n; at += 4n) {
        must(client.pwrite(a, bar + at, Uint8Array.of(1, 0, 0, 0)));
      }
      const bytes = saved(client, a);
      expect(restore(client, b, bytes)).toBe(-1);
      expect(saved(client, b)).toEqual(bytes);
      must(client.setState(b, RUNNING));
      client.machine.env.clock.advance(1e9);
      expect(client.state(b)).toBe(RUNNING);
    },
  );
});
