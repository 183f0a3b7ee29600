/**
 * resource, resourceN and resourceN_wc of a PCI function (vfio.md 4.1): where the BARs are, and the registers themselves.
 *
 * Memory can only be mapped, I/O ports can only be read and written, as in sysfs. What is mapped is the bus: where nothing
 * answers, loads are all ones.
 */
import { EINVAL, EIO, ENODEV, isErrno, type Result } from '../../../base/errno.ts';
import {
  OpenFile,
  type FileOps,
  type Mapping,
  type MmapRequest,
  type MmioWindow,
  type UserBuffer,
} from '../../../base/file.ts';
import { refuse } from '../../../base/refuse.ts';
import type { PciBar } from '../../../pci/bar.ts';
import type { PciDeviceFunction } from '../../../pci/function.ts';
import type { PciDev } from '../../kernel/pci-dev.ts';
import type { AttrNode } from '../nodes.ts';
import { textAttr } from '../tree.ts';
import { hexText } from './world.ts';

const RESOURCES = 13;
/** Of PCI_IOV_RESOURCES. */
const IOV_RESOURCES = 7;
const PAGE = 4096n;

/** The resource files of a function, by name. */
export function resourceFiles(pci: PciDev): Record<string, AttrNode> {
  const out: Record<string, AttrNode> = {
    resource: textAttr(() => {
      const places = resourcesOf(pci.fn);
      return Array.from({ length: RESOURCES }, (_, n) => resourceLine(places[n])).join('');
    }),
  };
  for (const bar of pci.fn.bars) {
    if (!bar) continue;
    const name = `resource${bar.index}`;
    out[name] = resourceFile(pci, bar, `${pci.sysPath}/${name}`);
    if (bar.prefetchable) out[`${name}_wc`] = resourceFile(pci, bar, `${pci.sysPath}/${name}_wc`);
  }
  return out;
}

/** Flags of a resource with the type nibble of its BAR. */
const RESOURCE_FLAGS = { io: 0x40101, mem32: 0x40200, mem64: 0x140204 } as const;
const PREFETCH_FLAGS = 0x2008;

/** One line of `resource`. */
type Resource = Pick<PciBar, 'kind' | 'prefetchable' | 'address' | 'size'>;

/** BARs, the ROM, then the BARs of all virtual functions together. */
function resourcesOf({ bars, sriov }: PciDeviceFunction): (Resource | undefined)[] {
  const out: (Resource | undefined)[] = [...bars];
  for (const { index, kind, size, prefetchable = false } of sriov?.spec.bars ?? []) {
    const { address } = sriov!.bars.get(index)!;
    out[IOV_RESOURCES + index] = { kind, prefetchable, address, size: size * sriov!.spec.totalVfs };
  }
  return out;
}

function resourceLine(bar: Resource | undefined): string {
  if (!bar) return `${[0, 0, 0].map(() => hexText(0, 16)).join(' ')}\n`;
  const flags = RESOURCE_FLAGS[bar.kind] | (bar.prefetchable ? PREFETCH_FLAGS : 0);
  const words = [bar.address, bar.address + bar.size - 1, flags];
  return `${words.map((word) => hexText(word, 16)).join(' ')}\n`;
}

function resourceFile(pci: PciDev, bar: PciBar, path: string): AttrNode {
  const ops = bar.isIo ? IO_OPS : MEMORY_OPS;
  return {
    kind: 'attr',
    mode: 0o600,
    size: bar.size,
    read: () => refuse(EIO, 'a resource has no text', { path }),
    open: () => new OpenFile(path, ops, { pci, bar }),
  };
}

const MEMORY_OPS: FileOps = {
  read: () => refuse(EIO, 'registers in memory space cannot be read with read(2)'),
  write: () => refuse(EIO, 'registers in memory space cannot be written with write(2)'),
  mmap: (file, _task, request) => mapRegisters(file, request),
};
const IO_OPS: FileOps = {
  read: (file, _task, into, offset) => readPorts(file, into, Number(offset)),
  write: (file, _task, from, offset) => writePorts(file, from, Number(offset)),
  mmap: () => refuse(ENODEV, 'I/O ports cannot be mapped'),
};
/** What an open file of a resource is about. */
interface OpenResource {
  readonly pci: PciDev;
  readonly bar: PciBar;
}
/** ENODEV: the kernel has removed the device meanwhile. */
function behind(file: OpenFile): Result<OpenResource, 'ENODEV'> {
  // cast: files with these operations are made in resourceFile only
  const resource = file.priv as OpenResource;
  return resource.pci.removed
    ? refuse(ENODEV, 'the device of the file was removed', { device: resource.pci.name })
    : resource;
}

/** Pages of the BAR, one at least. EINVAL: beyond it. @kernel pci_mmap_resource */
function mapRegisters(file: OpenFile, { offset, length }: MmapRequest): Result<Mapping> {
  const resource = behind(file);
  if (isErrno(resource)) return resource;
  const { bar } = resource;
  const pages = (BigInt(bar.size) + PAGE - 1n) / PAGE;
  const wanted = (length + PAGE - 1n) / PAGE;
  if (offset / PAGE + wanted > pages) {
    return refuse(EINVAL, 'the mapping goes beyond the resource', { offset, length });
  }
  return {
    kind: 'mmio',
    window: busWindow(resource, Number(pages * PAGE)),
    start: Number(offset),
    length: Number(length),
  };
}

/** Where the device does not answer, the bus does; the mapping goes when the kernel removes the device. */
function busWindow({ pci, bar }: OpenResource, length: number): MmioWindow {
  const { window } = bar;
  return {
    accessible: () => !pci.removed,
    obstacle: () =>
      pci.removed
        ? { rule: 'the kernel has removed the device', facts: { device: pci.name } }
        : undefined,
    name: window.name,
    length,
    get pfn() {
      return window.pfn;
    },
    load: (offset, width) => window.load(offset, width),
    store: (offset, width, value) => window.store(offset, width, value),
  };
}

/** The ports of one access; 0: it begins behind the last. @kernel pci_resource_io */
function checkPorts(bar: PciBar, at: number, width: number): Result<number> {
  if (at >= bar.size) return 0;
  if (at + width > bar.size) {
    return refuse(EINVAL, 'the access goes beyond the ports', { at, width, size: bar.size });
  }
  return [1, 2, 4].includes(width)
    ? width
    : refuse(EINVAL, 'ports are accessed by 1, 2 or 4 bytes', { width });
}
function readPorts(file: OpenFile, into: UserBuffer, at: number): Result<number> {
  const resource = behind(file);
  if (isErrno(resource)) return resource;
  const { bar } = resource;
  const width = checkPorts(bar, at, into.length);
  if (typeof width !== 'number' || width === 0) return width;
  const value = bar.window.load(at, width);
  const bytes = Uint8Array.from({ length: width }, (_, n) =>
    Number((value >> BigInt(8 * n)) & 0xffn),
  );
  return into.copyTo(0, bytes) ?? width;
}
function writePorts(file: OpenFile, from: UserBuffer, at: number): Result<number> {
  const resource = behind(file);
  if (isErrno(resource)) return resource;
  const { bar } = resource;
  const width = checkPorts(bar, at, from.length);
  if (typeof width !== 'number' || width === 0) return width;
  const bytes = new Uint8Array(width);
  const rc = from.copyFrom(0, bytes);
  if (rc) return rc;
  bar.window.store(
    at,
    width,
    bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n),
  );
  return width;
}
