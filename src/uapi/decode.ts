/**
 * Arguments of an ioctl as named values, for traces: the command's name and the struct behind the pointer, by the
 * names of the uapi headers (vfio.md 0.1, iommufd.md 1.2). Numbers mean different things on different files.
 */
import { isErrno } from '../base/errno.ts';
import type { OpenFile } from '../base/file.ts';
import type { Task } from '../base/task.ts';
import type { Fields, Struct } from '../base/struct.ts';
import * as iommufd from './iommufd.ts';
import * as iommufdTest from './iommufd-test.ts';
import * as vfio from './vfio.ts';

/** An ioctl by names: of the command, and of the fields of its argument. */
export interface Decoded {
  readonly command: string;
  readonly args?: Readonly<Record<string, unknown>>;
}

interface Command {
  readonly name: string;
  readonly layout: Struct<Fields> | undefined;
}
type Commands = ReadonlyMap<number, Command>;

/** Structs whose name is not the command's in small letters. */
const OTHER_STRUCTS: Readonly<Record<string, string>> = {
  IOMMU_GET_HW_INFO: 'iommu_hw_info',
  IOMMU_FAULT_QUEUE_ALLOC: 'iommu_fault_alloc',
  VFIO_GROUP_GET_STATUS: 'vfio_group_status',
  VFIO_DEVICE_GET_INFO: 'vfio_device_info',
  VFIO_DEVICE_GET_REGION_INFO: 'vfio_region_info',
  VFIO_DEVICE_GET_IRQ_INFO: 'vfio_irq_info',
  VFIO_DEVICE_SET_IRQS: 'vfio_irq_set',
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: 'vfio_pci_hot_reset_info',
  VFIO_DEVICE_PCI_HOT_RESET: 'vfio_pci_hot_reset',
  VFIO_MIG_GET_PRECOPY_INFO: 'vfio_precopy_info',
  VFIO_IOMMU_GET_INFO: 'vfio_iommu_type1_info',
  VFIO_IOMMU_MAP_DMA: 'vfio_iommu_type1_dma_map',
  VFIO_IOMMU_UNMAP_DMA: 'vfio_iommu_type1_dma_unmap',
  VFIO_IOMMU_DIRTY_PAGES: 'vfio_iommu_type1_dirty_bitmap',
};

const FIRST = 0x3b64;
const LAST = 0x3bff;

/** The names of the bits in a struct's `flags` begin so. */
const FLAG_PREFIXES: Readonly<Record<string, readonly string[]>> = {
  iommu_hwpt_alloc: ['IOMMU_HWPT_ALLOC_', 'IOMMU_HWPT_FAULT_'],
  iommu_hwpt_get_dirty_bitmap: ['IOMMU_HWPT_GET_DIRTY_BITMAP_'],
  iommu_hwpt_set_dirty_tracking: ['IOMMU_HWPT_DIRTY_TRACKING_'],
  iommu_ioas_copy: ['IOMMU_IOAS_MAP_'],
  iommu_ioas_map: ['IOMMU_IOAS_MAP_'],
  iommu_ioas_map_file: ['IOMMU_IOAS_MAP_'],
  vfio_device_info: ['VFIO_DEVICE_FLAGS_'],
  vfio_group_status: ['VFIO_GROUP_FLAGS_'],
  vfio_iommu_type1_dma_map: ['VFIO_DMA_MAP_FLAG_'],
  vfio_iommu_type1_dma_unmap: ['VFIO_DMA_UNMAP_FLAG_'],
  vfio_iommu_type1_info: ['VFIO_IOMMU_INFO_'],
  vfio_irq_info: ['VFIO_IRQ_INFO_'],
  vfio_irq_set: ['VFIO_IRQ_SET_'],
  vfio_region_info: ['VFIO_REGION_INFO_FLAG_'],
};
const HEADERS: Readonly<Record<string, unknown>> = { ...iommufd, ...vfio };

/** Single bits by name, per struct. */
const FLAGS = new Map(
  Object.entries(FLAG_PREFIXES).map(([struct, prefixes]) => [
    struct,
    prefixes.flatMap((prefix) => bitsNamed(prefix)).sort((a, b) => a.bit - b.bit),
  ]),
);

function bitsNamed(prefix: string): { bit: number; name: string }[] {
  return Object.entries(HEADERS).flatMap(([name, bit]) => {
    if (!name.startsWith(prefix) || typeof bit !== 'number' || bit >= FIRST) return [];
    return bit !== 0 && (bit & (bit - 1)) === 0 ? [{ bit, name: name.slice(prefix.length) }] : [];
  });
}

/** 3 → 'READ|WRITE'; bits without a name stay a number. */
function flagText(struct: string, flags: number): string | number {
  const named = (FLAGS.get(struct) ?? []).filter(({ bit }) => (flags & bit) !== 0);
  const rest = named.reduce((left, { bit }) => left & ~bit, flags) >>> 0;
  if (named.length === 0) return flags;
  return [...named.map(({ name }) => name), ...(rest ? [`0x${rest.toString(16)}`] : [])].join('|');
}

/** Commands whose argument points at something that is no struct. */
const POINTED: Readonly<Record<string, (task: Task, arg: bigint) => unknown>> = {
  VFIO_GROUP_SET_CONTAINER: (task, arg) => {
    const fd = new Uint8Array(4);
    if (task.mem.read(arg, fd)) return undefined;
    return new DataView(fd.buffer).getInt32(0, true);
  },
  VFIO_GROUP_GET_DEVICE_FD: (task, arg) => {
    const name = new Uint8Array(12);
    if (task.mem.read(arg, name)) return undefined;
    return new TextDecoder().decode(name).split('\0', 1)[0];
  },
};

/** Constants of a header that are commands and whose name begins so. */
function commands(header: Readonly<Record<string, unknown>>, pattern: RegExp): [number, Command][] {
  return Object.entries(header).flatMap(([name, value]): [number, Command][] => {
    if (typeof value !== 'number' || value < FIRST || value > LAST || !pattern.test(name))
      return [];
    const layout = header[OTHER_STRUCTS[name] ?? name.toLowerCase()];
    // cast: what a header calls so is the struct of the command
    return [[value, { name, layout: layout as Struct<Fields> | undefined }]];
  });
}

const CONTAINER = commands(vfio, /^VFIO_(GET_API_VERSION|CHECK_EXTENSION|SET_IOMMU|IOMMU_)/);
const GROUP: Commands = new Map(commands(vfio, /^VFIO_GROUP_/));
const DEVICE: Commands = new Map(commands(vfio, /^VFIO_DEVICE_/));
const MIGRATION: Commands = new Map(commands(vfio, /^VFIO_MIG_/));
const IOMMUFD: Commands = new Map([
  ...CONTAINER,
  ...commands(iommufd, /^IOMMU_/),
  ...commands(iommufdTest, /^IOMMU_TEST_CMD$/),
]);

/** Every VFIO command of the headers by the kind of file it is for: what docs/abi.md is made from. */
export const VFIO_COMMANDS = {
  container: new Map(CONTAINER),
  group: GROUP,
  device: DEVICE,
  migration: MIGRATION,
};

/** The names of all commands, sorted. */
export const COMMAND_NAMES: readonly string[] = [
  ...new Set(
    [IOMMUFD, GROUP, DEVICE, MIGRATION].flatMap((of) => [...of.values()].map(({ name }) => name)),
  ),
].sort();

function commandsOf(file: string): Commands {
  if (file === '/dev/iommu' || file === '/dev/vfio/vfio') return IOMMUFD;
  if (file.startsWith('/dev/vfio/devices/') || file.includes('[vfio-device]')) return DEVICE;
  if (file.includes('[vfio-migration]')) return MIGRATION;
  return file.startsWith('/dev/vfio/') ? GROUP : new Map();
}

/** Undefined for a command that no header names. A struct that cannot be read is left out. */
export function decodeIoctl(
  file: OpenFile,
  task: Task,
  cmd: number,
  arg: bigint,
): Decoded | undefined {
  const known = commandsOf(file.name).get(cmd);
  if (!known) return undefined;
  const { name, layout } = known;
  if (!layout)
    return { command: name, ...(arg !== 0n && { args: { arg: pointed(name, task, arg) } }) };
  const bytes = new Uint8Array(layout.size);
  if (!readStruct(task, arg, bytes)) return { command: name };
  // cast: fields are asked for by the names of the layout
  const view = layout.view(bytes) as unknown as Record<string, unknown>;
  const fields = Object.keys(layout.offsets).filter((field) => !field.startsWith('__'));
  const value = (field: string): unknown =>
    field === 'flags' ? flagText(layout.cName, Number(view[field])) : view[field];
  return { command: name, args: Object.fromEntries(fields.map((field) => [field, value(field)])) };
}

function pointed(command: string, task: Task, arg: bigint): unknown {
  return POINTED[command]?.(task, arg) ?? arg;
}

/** The caller's struct may be an older, shorter one: its first word is its size. */
function readStruct(task: Task, arg: bigint, bytes: Uint8Array): boolean {
  const head = bytes.subarray(0, 4);
  if (isErrno(task.mem.read(arg, head))) return false;
  const given = new DataView(head.buffer).getUint32(0, true);
  const length = Math.min(Math.max(4, given), bytes.length);
  return task.mem.read(arg, bytes.subarray(0, length)) === undefined;
}
