/**
 * Arguments of an ioctl as named values, for traces: the command's name and the struct behind the pointer, by the
 * names of the uapi headers (vfio.md 0.1, iommufd.md 1.2). Numbers mean different things on different files.
 */
import { isErrno } from '../base/errno.ts';
import type { OpenFile } from '../base/file.ts';
import type { Task } from '../base/task.ts';
import type { Fields, Struct } from '../base/struct.ts';
import * as iommufd from '../uapi/iommufd.ts';
import * as vfio from '../uapi/vfio.ts';

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
  VFIO_IOMMU_GET_INFO: 'vfio_iommu_type1_info',
  VFIO_IOMMU_MAP_DMA: 'vfio_iommu_type1_dma_map',
  VFIO_IOMMU_UNMAP_DMA: 'vfio_iommu_type1_dma_unmap',
  VFIO_IOMMU_DIRTY_PAGES: 'vfio_iommu_type1_dirty_bitmap',
};

const FIRST = 0x3b64;
const LAST = 0x3bff;

/** Constants of a header that are commands and whose name begins so. */
function commands(header: Readonly<Record<string, unknown>>, pattern: RegExp): [number, Command][] {
  return Object.entries(header).flatMap(([name, value]): [number, Command][] => {
    if (typeof value !== 'number' || value < FIRST || value > LAST || !pattern.test(name))
      return [];
    const layout = header[OTHER_STRUCTS[name] ?? name.toLowerCase()];
    return [[value, { name, layout: layout as Struct<Fields> | undefined }]];
  });
}

const CONTAINER = commands(vfio, /^VFIO_(GET_API_VERSION|CHECK_EXTENSION|SET_IOMMU|IOMMU_)/);
const GROUP: Commands = new Map(commands(vfio, /^VFIO_GROUP_/));
const DEVICE: Commands = new Map(commands(vfio, /^VFIO_DEVICE_/));
const IOMMUFD: Commands = new Map([...CONTAINER, ...commands(iommufd, /^IOMMU_/)]);

function commandsOf(file: string): Commands {
  if (file === '/dev/iommu' || file === '/dev/vfio/vfio') return IOMMUFD;
  if (file.startsWith('/dev/vfio/devices/') || file.includes('[vfio-device]')) return DEVICE;
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
  if (!layout) return { command: name, ...(arg !== 0n && { args: { arg } }) };
  const bytes = new Uint8Array(layout.size);
  if (!readStruct(task, arg, bytes)) return { command: name };
  const view = layout.view(bytes) as unknown as Record<string, unknown>;
  const fields = Object.keys(layout.offsets).filter((field) => !field.startsWith('__'));
  return { command: name, args: Object.fromEntries(fields.map((field) => [field, view[field]])) };
}

/** The caller's struct may be an older, shorter one: its first word is its size. */
function readStruct(task: Task, arg: bigint, bytes: Uint8Array): boolean {
  const head = bytes.subarray(0, 4);
  if (isErrno(task.mem.read(arg, head))) return false;
  const given = new DataView(head.buffer).getUint32(0, true);
  const length = Math.min(Math.max(4, given), bytes.length);
  return task.mem.read(arg, bytes.subarray(0, length)) === undefined;
}
