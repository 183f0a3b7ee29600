/**
 * Arguments of an ioctl as named values, for traces: the command's name and the struct behind the pointer, by the
 * names of the uapi headers (vfio.md 0.1, iommufd.md 1.2). Numbers mean different things on different files.
 */
import { EFAULT, isErrno, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import { sameBytes } from '../base/same-bytes.ts';
import type { OpenFile } from '../base/file.ts';
import type { Task } from '../base/task.ts';
import type { Fields, Struct } from '../base/struct.ts';
import { PAGE_SIZE } from '../base/u64.ts';
import { extensionName, isCommand, namer, type Named } from './field-names.ts';
import * as iommufd from './iommufd.ts';
import * as iommufdTest from './iommufd-test.ts';
import * as vfio from './vfio.ts';

type Args = Readonly<Record<string, unknown>>;
/** An ioctl by names: of the command, and of the fields of its argument. */
export interface Decoded {
  readonly command: string;
  readonly args?: Args;
}

interface Command {
  readonly name: string;
  readonly layout: Struct<Fields> | undefined;
  /** Found when it is shown first. */
  shown?: readonly ShownField[];
}
/** A field as it is shown. */
interface ShownField {
  readonly name: string;
  readonly read: (words: DataView) => Named;
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

/** Commands whose argument is no struct: what it says, or points at. */
const PLAIN: Readonly<Record<string, (task: Task, arg: bigint) => unknown>> = {
  VFIO_CHECK_EXTENSION: (_task, arg) => extensionName(arg),
  VFIO_SET_IOMMU: (_task, arg) => extensionName(arg),
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
    if (typeof value !== 'number' || !isCommand(value) || !pattern.test(name)) return [];
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

/** The requests of ioctl(2) that commands of these names are, on whatever file. */
export function requestsOf(isWanted: (command: string) => boolean): ReadonlySet<number> {
  const all = [IOMMUFD, GROUP, DEVICE, MIGRATION].flatMap((of) => [...of]);
  return new Set(all.filter(([, { name }]) => isWanted(name)).map(([request]) => request));
}

/** The fields of a command's struct, by the name of the command. */
export const COMMAND_FIELDS: ReadonlyMap<string, readonly string[]> = new Map(
  [IOMMUFD, GROUP, DEVICE, MIGRATION].flatMap((of) =>
    [...of.values()].map(({ name, layout }) => [name, Object.keys(layout?.offsets ?? {})]),
  ),
);

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
  return new IoctlLook(file, task, cmd, arg).before();
}

/** A look at an ioctl before it is carried out and one after: what has not changed is not decoded again. */
export class IoctlLook {
  readonly #task: Task;
  readonly #arg: bigint;
  readonly #command: Command | undefined;
  /** The struct and what it said, before. */
  #seen: { readonly bytes: Uint8Array; readonly args: Args } | undefined;

  constructor(file: OpenFile, task: Task, cmd: number, arg: bigint) {
    this.#task = task;
    this.#arg = arg;
    this.#command = commandsOf(file.name).get(cmd);
  }
  /** As decodeIoctl() says. */
  before(): Decoded | undefined {
    if (!this.#command) return undefined;
    const { name, layout } = this.#command;
    const args = layout ? this.#argsNow(layout) : this.#plain(name);
    return { command: name, ...(args && { args }) };
  }
  /** The arguments as they are now. */
  after(): Args | undefined {
    return this.before()?.args;
  }
  #plain(name: string): Args | undefined {
    return this.#arg === 0n ? undefined : { arg: plain(name, this.#task, this.#arg) };
  }
  #argsNow(layout: Struct<Fields>): Args | undefined {
    const bytes = new Uint8Array(layout.size);
    if (readStruct(this.#task, this.#arg, bytes) === 0) return undefined;
    if (this.#seen && sameBytes(bytes, this.#seen.bytes)) return this.#seen.args;
    const args = this.#argsIn(layout, bytes);
    this.#seen = { bytes, args };
    return args;
  }
  #argsIn(layout: Struct<Fields>, bytes: Uint8Array): Args {
    const words = new DataView(bytes.buffer);
    const args: Record<string, unknown> = {};
    for (const { name, read } of shownOf(this.#command!, layout)) args[name] = read(words);
    const isIrqs = layout === vfio.vfio_irq_set;
    return isIrqs ? Object.assign(args, irqData(this.#task, this.#arg, layout.view(bytes))) : args;
  }
}

function shownOf(
  command: Command,
  { cName, fields, offsets }: Struct<Fields>,
): readonly ShownField[] {
  return (command.shown ??= Object.entries(fields)
    .filter(([name]) => !name.startsWith('__'))
    .map(([name, type]) => {
      const at = offsets[name]!;
      const show = namer(cName, name);
      return { name, read: (words) => show(type.get(words, at)) };
    }));
}

function plain(command: string, task: Task, arg: bigint): unknown {
  return PLAIN[command]?.(task, arg) ?? arg;
}

/** More of them are not shown. */
const SHOWN_IRQS = 16;
/** What follows struct vfio_irq_set: an eventfd each, or a truth value each. */
function irqData(
  task: Task,
  arg: bigint,
  set: Readonly<Record<string, unknown>>,
): { data?: readonly number[] } {
  const flags = Number(set['flags']);
  const width = (flags & vfio.VFIO_IRQ_SET_DATA_EVENTFD) !== 0 ? 4 : 1;
  if ((flags & (vfio.VFIO_IRQ_SET_DATA_EVENTFD | vfio.VFIO_IRQ_SET_DATA_BOOL)) === 0) return {};
  const count = Math.min(Number(set['count']), SHOWN_IRQS);
  const bytes = new Uint8Array(count * width);
  if (count === 0 || task.mem.read(arg + BigInt(vfio.vfio_irq_set.size), bytes)) return {};
  const words = new DataView(bytes.buffer);
  const at = (n: number): number => (width === 4 ? words.getInt32(n * 4, true) : bytes[n]!);
  return { data: Array.from({ length: count }, (_, n) => at(n)) };
}

/** Change one field of the struct behind the pointer, which has it. EFAULT: it is not in memory. */
export function setField(
  call: {
    readonly file: OpenFile;
    readonly task: Task;
    readonly cmd: number;
    readonly arg: bigint;
  },
  field: string,
  value: bigint,
): Status<'EFAULT'> {
  const { file, task, cmd, arg } = call;
  const layout = commandsOf(file.name).get(cmd)?.layout;
  if (!layout || !(field in layout.offsets)) return undefined;
  const bytes = new Uint8Array(layout.size);
  const length = readStruct(task, arg, bytes);
  if (length === 0) return refuse(EFAULT, 'the struct of the call is not in memory');
  // cast: the field is one of the layout, and takes what it gives
  const view = layout.view(bytes) as unknown as Record<string, number | bigint>;
  view[field] = typeof view[field] === 'bigint' ? value : Number(BigInt.asUintN(32, value));
  return task.mem.write(arg, bytes.subarray(0, length));
}

/** The caller's struct may be an older, shorter one: its first word is its size. Bytes read; 0: it is not in memory. */
function readStruct(task: Task, arg: bigint, bytes: Uint8Array): number {
  const isInPage = Number(arg & PAGE_MASK) + bytes.length <= PAGE_SIZE;
  // What lies behind a short one is in the same page, and costs no look of its own.
  const isRead = isInPage && !isErrno(task.mem.read(arg, bytes));
  if (!isRead && isErrno(task.mem.read(arg, bytes.subarray(0, 4)))) return 0;
  const given = new DataView(bytes.buffer).getUint32(0, true);
  const length = Math.min(Math.max(4, given), bytes.length);
  if (isRead) {
    bytes.fill(0, length);
    return length;
  }
  return task.mem.read(arg, bytes.subarray(0, length)) === undefined ? length : 0;
}
const PAGE_MASK = BigInt(PAGE_SIZE - 1);
