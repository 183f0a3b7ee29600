/** A VFIO program inside the library, for tests: buffers, structs, and errnos as values. */
import { isErrno, type Result } from '../../base/errno.ts';
import type { Fields, Struct, View } from '../../base/struct.ts';
import { createMachine } from '../../machine/create-machine.ts';
import type { Machine } from '../../machine/machine.ts';
import type { MachineInput } from '../../machine/description/description.ts';
import { PRESETS } from '../../machine/description/presets.ts';
import type { Credentials, Program } from '../../machine/program/program.ts';
import * as uapi from '../../uapi/vfio.ts';
import { must } from '../base/must.ts';

export const EDU = '0000:00:04.0';

export function machineOf(input: MachineInput | string = 'default'): Machine {
  const made = createMachine(typeof input === 'string' ? PRESETS[input]!.machine : input);
  if ('problems' in made) throw new Error(JSON.stringify(made.problems));
  return made.machine;
}
/** A machine without an IOMMU and with two functions on a bus, 0000:01:00.0 and .1; `second` is the other's driver. */
export function twoNoiommuFunctions(second = 'vfio-pci'): Machine {
  const edu = { type: 'edu', options: { pcie: true } };
  const devices = [
    { ...edu, at: '0000:01:00.0' },
    { ...edu, at: '0000:01:00.1', driver: second },
  ];
  return machineOf({
    kernel: { with: ['unsafe-noiommu-mode'] },
    iommus: [],
    devices: [{ type: 'root-port', at: '0000:00:01.0', devices }],
  });
}
export class Client {
  readonly machine: Machine;
  readonly program: Program;
  /** One page for arguments. */
  readonly buffer: bigint;
  constructor(machine: Machine, credentials: Credentials = {}) {
    this.machine = machine;
    this.program = machine.program(credentials);
    this.buffer = must(this.program.mmap(0x4000));
  }
  memory(length: number): bigint {
    return must(this.program.mmap(length));
  }
  open(path: string): Result<number> {
    return this.program.open(path);
  }
  /** What an attribute says. */
  text(path: string): Result<string> {
    const fd = this.program.open(path, { write: false });
    if (isErrno(fd)) return fd;
    const bytes = new Uint8Array(0x1000);
    const n = this.program.read(fd, bytes, 0n);
    must(this.program.close(fd) ?? 0);
    return isErrno(n) ? n : new TextDecoder().decode(bytes.subarray(0, n));
  }
  bytes(at: bigint, length: number): Uint8Array {
    const out = new Uint8Array(length);
    const rc = this.program.mem.read(at, out);
    if (rc) throw new Error(rc.name);
    return out;
  }
  put(at: bigint, data: Uint8Array): void {
    const rc = this.program.mem.write(at, data);
    if (rc) throw new Error(rc.name);
  }
  /** The argument as a view of the bytes after the call, and the result. argsz defaults to the whole. */
  call<F extends Fields>(
    fd: number,
    cmd: number,
    type: Struct<F>,
    values: Partial<Record<keyof F, number | bigint>> = {},
    tail: Uint8Array = new Uint8Array(0),
  ): { rc: Result<number>; out: View<F>; all: Uint8Array } {
    const raw = new Uint8Array(type.size + tail.length);
    raw.set(tail, type.size);
    const arg = type.view(raw) as Record<string, unknown>;
    if ('argsz' in type.offsets) arg['argsz'] = raw.length;
    Object.assign(arg, values);
    this.put(this.buffer, new Uint8Array(0x1000));
    this.put(this.buffer, raw);
    const rc = this.program.ioctl(fd, cmd, this.buffer);
    const all = this.bytes(this.buffer, 0x1000);
    return { rc, out: type.view(all), all };
  }
  plain(fd: number, cmd: number, arg: number | bigint = 0n): Result<number> {
    return this.program.ioctl(fd, cmd, BigInt(arg));
  }
  setContainer(group: number, container: number): Result<number> {
    this.put(this.buffer, new Uint8Array(new Int32Array([container]).buffer));
    return this.plain(group, uapi.VFIO_GROUP_SET_CONTAINER, this.buffer);
  }
  deviceFd(group: number, name: string): Result<number> {
    this.put(this.buffer, new TextEncoder().encode(`${name}\0`));
    return this.plain(group, uapi.VFIO_GROUP_GET_DEVICE_FD, this.buffer);
  }
  map(
    fd: number,
    given: { flags?: number; vaddr?: bigint; iova: bigint; size: bigint },
  ): Result<number> {
    const values = { flags: 3, vaddr: 0n, ...given };
    return this.call(fd, uapi.VFIO_IOMMU_MAP_DMA, uapi.vfio_iommu_type1_dma_map, values).rc;
  }
  unmap(
    fd: number,
    given: { flags?: number; iova?: bigint; size?: bigint },
    tail?: Uint8Array,
  ): { rc: Result<number>; size: bigint } {
    const type = uapi.vfio_iommu_type1_dma_unmap;
    const { rc, out } = this.call(fd, uapi.VFIO_IOMMU_UNMAP_DMA, type, given, tail);
    return { rc, size: out.size };
  }
  setIrqs(
    fd: number,
    given: { flags: number; index: number; start?: number; count?: number },
    data: readonly number[] = [],
    element: 1 | 4 = 4,
  ): Result<number> {
    const raw =
      element === 1 ? Uint8Array.from(data) : new Uint8Array(Int32Array.from(data).buffer);
    const values = { start: 0, count: data.length, ...given };
    return this.call(fd, uapi.VFIO_DEVICE_SET_IRQS, uapi.vfio_irq_set, values, raw).rc;
  }
  pread(fd: number, offset: bigint, length: number): Result<Uint8Array> {
    const into = new Uint8Array(length);
    const n = this.program.read(fd, into, offset);
    return isErrno(n) ? n : into.subarray(0, n);
  }
  pwrite(fd: number, offset: bigint, data: Uint8Array): Result<number> {
    return this.program.write(fd, data, offset);
  }
  /** Counter of an eventfd, 0 when it is not readable. */
  counter(fd: number): bigint {
    const into = new Uint8Array(8);
    const n = this.program.read(fd, into);
    return isErrno(n) ? 0n : new DataView(into.buffer).getBigUint64(0, true);
  }
  eventfd(): number {
    return must(this.program.eventfd());
  }

  /** Container with the type set and the group of the device in it. */
  container(type: number, device = EDU): { c: number; g: number } {
    const c = must(this.open('/dev/vfio/vfio'));
    const g = this.group(device);
    must(this.setContainer(g, c));
    must(this.plain(c, uapi.VFIO_SET_IOMMU, type));
    return { c, g };
  }
  group(device = EDU): number {
    return must(this.open(this.groupPath(device)));
  }
  groupPath(device = EDU): string {
    const link = must(this.program.realpath(`/sys/bus/pci/devices/${device}/iommu_group`));
    return `/dev/vfio/${link.split('/').pop()!}`;
  }
  device(type = uapi.VFIO_TYPE1v2_IOMMU, device = EDU): { c: number; g: number; d: number } {
    const { c, g } = this.container(type, device);
    return { c, g, d: must(this.deviceFd(g, device)) };
  }
}

/** A row of a table: what was done and what came of it. */
export function name(value: Result<number>): string | number {
  return isErrno(value) ? value.name : value;
}
