/**
 * Values that are only known when a command is run: the id of some IOAS, the address of some mapping, a cookie somebody
 * waits for. A step holds a pick, `n` chooses among the candidates; without any it is a wrong value.
 */
import fc from 'fast-check';
import { ForeignFile, OpenFile } from '../../../src/base/file.ts';
import { joinWords } from '../../../src/base/word-pair.ts';
import { Access } from '../../../src/iommufd/access.ts';
import type { Area } from '../../../src/iommufd/io-pagetable/area.ts';
import { IommufdContext } from '../../../src/iommufd/context.ts';
import { IommufdDevice } from '../../../src/iommufd/device-object.ts';
import { Dmabuf } from '../../../src/iommufd/io-pagetable/dmabuf.ts';
import { FaultQueue } from '../../../src/iommufd/fault.ts';
import { Hwpt, HwptNested, HwptPaging } from '../../../src/iommufd/hwpt-object.ts';
import { HwQueue } from '../../../src/iommufd/hw-queue.ts';
import { Ioas } from '../../../src/iommufd/ioas.ts';
import type { IommufdObject } from '../../../src/iommufd/object.ts';
import { Vdevice } from '../../../src/iommufd/vdevice.ts';
import { Veventq } from '../../../src/iommufd/veventq.ts';
import { Viommu } from '../../../src/iommufd/viommu-object.ts';
import { VfioDeviceFile } from '../../../src/vfio/device-access.ts';
import { VfioGroup } from '../../../src/vfio/group.ts';
import type { Iommufd } from '../../../src/testing/iommufd/world.ts';
import type { TestTask } from '../../../src/testing/iommufd/process.ts';

export interface Pick {
  readonly pick: PickName;
  readonly n: number;
}
export type Value = number | bigint | Pick;
/** Fields of a command as they are generated. */
export type Values = Readonly<Record<string, Value>>;

/** Who makes a call, and what the picks of this call were about. */
export class Caller {
  readonly task: TestTask;
  /** The /dev/iommu the call goes to; undefined when the program has none open. */
  readonly fd: Iommufd | undefined;
  ioas: Ioas | undefined;
  area: Area | undefined;

  constructor(task: TestTask, fd: Iommufd | undefined) {
    this.task = task;
    this.fd = fd;
  }
  get ctx(): IommufdContext | undefined {
    const priv = this.fd?.file.priv;
    return priv instanceof IommufdContext ? priv : undefined;
  }
  resolve(values: Values): Record<string, number | bigint> {
    const resolved: Record<string, number | bigint> = {};
    for (const [name, value] of Object.entries(values)) {
      resolved[name] = typeof value === 'object' ? PICKS[value.pick](this, value.n) : value;
    }
    return resolved;
  }
  /** An open file of the program, by what is behind it. */
  file(is: (priv: object) => boolean, n: number): number {
    const fds: number[] = [];
    for (const [fd, file] of this.task.fds) {
      if (is(file instanceof OpenFile ? file.priv : file)) fds.push(fd);
    }
    return fds[n % fds.length] ?? -1;
  }
  openFile(fd: number): OpenFile | undefined {
    const file = this.task.fds.get(fd);
    return file instanceof OpenFile ? file : undefined;
  }
}

type Kind = (object: IommufdObject) => boolean;

function idOf(caller: Caller, n: number, is: Kind): number {
  const found: IommufdObject[] = [];
  for (const object of caller.ctx?.objects.all() ?? []) if (is(object)) found.push(object);
  const object = found[n % found.length];
  if (!object) return n;
  caller.ioas = ioasOf(object) ?? caller.ioas;
  return object.id;
}
/** The IOAS an object has to do with. */
function ioasOf(object: object): Ioas | undefined {
  if (object instanceof Ioas) return object;
  if (object instanceof Hwpt) return object.paging.ioas;
  if (object instanceof Viommu) return object.hwpt.ioas;
  return undefined;
}
const kind = (is: Kind) => (caller: Caller, n: number) => idOf(caller, n, is);
const open = (is: (priv: object) => boolean) => (caller: Caller, n: number) => caller.file(is, n);

interface SelftestAccess {
  readonly access: Access;
  /** What it has pinned. */
  readonly items: ReadonlyMap<number, { readonly iova: bigint; readonly length: bigint }>;
}
/** What is behind the file of a test access; its class is private to the selftest. */
export function selftestAccessOf(priv: object): SelftestAccess | undefined {
  const { access } = priv as Partial<SelftestAccess>;
  return access instanceof Access ? (priv as SelftestAccess) : undefined;
}
function isSelftest(object: IommufdObject): boolean {
  return (object.constructor as { kind?: string }).kind === 'SELFTEST';
}
function isParent(object: IommufdObject): boolean {
  return object instanceof HwptPaging && object.nestParent;
}

function accessFile(caller: Caller, n: number): number {
  const fd = caller.file((priv) => selftestAccessOf(priv) !== undefined, n);
  const file = caller.openFile(fd);
  caller.ioas = (file && selftestAccessOf(file.priv)?.access.ioas) ?? caller.ioas;
  return fd;
}
function mapping(caller: Caller, n: number): bigint {
  const areas = [...(caller.ioas?.iopt.areas.values() ?? [])];
  const area = (caller.area = areas[n % areas.length]);
  return area ? joinWords(area.startHi, area.startLo) : 0x100_0000n;
}
function mappingLength(caller: Caller): bigint {
  const { area } = caller;
  if (!area) return 0x1000n;
  return joinWords(area.lastHi, area.lastLo) - joinWords(area.startHi, area.startLo) + 1n;
}
function cookie(caller: Caller, n: number): number {
  const cookies: number[] = [];
  for (const file of caller.task.fds.values()) {
    if (!(file instanceof OpenFile) || !(file.priv instanceof FaultQueue)) continue;
    for (const [id] of file.priv.awaiting.entries()) cookies.push(id);
  }
  return cookies[n % cookies.length] ?? n;
}
function virtualId(caller: Caller, n: number): number {
  const ids: bigint[] = [];
  for (const object of caller.ctx?.objects.all() ?? []) {
    if (object instanceof Viommu) ids.push(...object.vdevices.keys());
  }
  return Number(ids[n % ids.length] ?? 7n);
}
function accessItem(caller: Caller, n: number): number {
  for (const file of caller.task.fds.values()) {
    const access = file instanceof OpenFile ? selftestAccessOf(file.priv) : undefined;
    const ids = [...(access?.items.keys() ?? [])];
    if (ids.length > 0) return ids[n % ids.length]!;
  }
  return n;
}

// prettier-ignore
const PICKS = {
  'IOAS': kind((o) => o instanceof Ioas),
  'DEVICE': kind((o) => o instanceof IommufdDevice),
  'SELFTEST': kind(isSelftest),
  'HWPT': kind((o) => o instanceof Hwpt),
  'HWPT_PAGING': kind((o) => o instanceof HwptPaging),
  'HWPT_NESTED': kind((o) => o instanceof HwptNested),
  'nest parent': kind(isParent),
  'PASID hwpt': kind((o) => o instanceof Hwpt && o.pasidCompat),
  'dirty hwpt': kind((o) => o instanceof HwptPaging && o.domain.dirtyOps !== undefined),
  'FAULT': kind((o) => o instanceof FaultQueue),
  'VIOMMU': kind((o) => o instanceof Viommu),
  'cached': kind((o) => o instanceof HwptNested || o instanceof Viommu),
  'attachable': kind((o) => o instanceof Ioas || o instanceof Hwpt),
  'hwpt base': kind((o) => o instanceof Ioas || o instanceof Viommu || isParent(o)),
  'leaf': kind((o) => o.users === 1),
  'child': kind((o) => o instanceof Vdevice || o instanceof Veventq || o instanceof HwQueue),
  'any': kind(() => true),
  'mapping': mapping,
  'mapping page 2': (caller: Caller, n: number) => mapping(caller, n) + 0x1000n,
  'mapping length': mappingLength,
  'cookie': cookie,
  'virtual id': virtualId,
  'access item': accessItem,
  'access fd': accessFile,
  'fault fd': open((p) => p instanceof FaultQueue),
  'unread fd': open((p) => p instanceof FaultQueue && p.deliver.length > 0),
  'awaiting fd': open((p) => p instanceof FaultQueue && p.awaiting.size > 0),
  'event fd': open((p) => p instanceof Veventq),
  'dmabuf fd': open((p) => p instanceof Dmabuf),
  'memfd': open((p) => p instanceof ForeignFile),
  'iommufd': open((p) => p instanceof IommufdContext),
  'cdev fd': open((p) => p instanceof VfioDeviceFile),
  'group fd': open((p) => p instanceof VfioGroup),
  'bound cdev fd': open((p) => p instanceof VfioDeviceFile && p.accessGranted),
  'any fd': open(() => true),
};
export type PickName = keyof typeof PICKS;

const small = fc.nat(11);

/** Mostly what fits, now and then a small number. */
export function pick(name: PickName): fc.Arbitrary<Value> {
  return fc.oneof({ weight: 9, arbitrary: sure(name) }, { weight: 1, arbitrary: small });
}
/** Always what fits. */
export function sure(name: PickName): fc.Arbitrary<Value> {
  return small.map((n) => ({ pick: name, n }));
}
