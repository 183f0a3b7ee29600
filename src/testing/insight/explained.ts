/** A program, and what a journal remembers of its troubles. */
import { must } from '../base/must.ts';
import { Client, EDU, machineOf } from '../machine/client.ts';
import { TroubleJournal } from '../../insight/explain/journal.ts';
import type { KeptOrigins } from '../../insight/sanitizer/kept-origins.ts';
import { explanation } from '../../insight/explain/report.ts';
import type { MachineInput } from '../../machine/description/description.ts';
import type { AttrNode } from '../../machine/files/nodes.ts';
import type { Credentials } from '../../machine/program/program.ts';
import * as i from '../../uapi/iommufd.ts';
import * as uapi from '../../uapi/vfio.ts';

/** Where configuration space begins in the file of a device. */
export const CONFIG = 7n << 40n;
/** Where its memory is mapped. */
export const MAPPED = 0x10_0000n;

/** What became of each call: the journal is what is looked at. */
export const answers: unknown[] = [];
/** A program, and what is remembered of its troubles. */
export class Explained extends Client {
  readonly journal: TroubleJournal;
  readonly bdf: string;

  constructor(
    input: MachineInput | string = 'default',
    bdf = EDU,
    credentials: Credentials = {},
    origins?: KeptOrigins,
  ) {
    super(machineOf(input), credentials);
    this.bdf = bdf;
    this.journal = new TroubleJournal(this.machine, undefined, origins);
    if (origins) this.machine.env.trace.listenTo(origins.choice, origins.take);
    this.machine.env.trace.listenToTroubles(this.journal.take);
  }
  /** The device, its bus mastering switched on, and a container with a mapping of 4 pages. */
  start(): { container: number; device: number } {
    const { c, d } = this.device(uapi.VFIO_TYPE1v2_IOMMU, this.bdf);
    must(this.map(c, { vaddr: this.memory(0x4000), iova: MAPPED, size: 0x4000n }));
    this.command(d, 6);
    return { container: c, device: d };
  }
  /** An iommufd that plays the container of the group. */
  compat(): { container: number } {
    const container = must(this.open('/dev/iommu'));
    must(this.setContainer(this.group(), container));
    must(this.plain(container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU));
    return { container };
  }
  /** As a device model asks for it. */
  dma(iova: bigint): void {
    answers.push(this.machine.pci.device(this.bdf)!.slot.dma.write(iova, new Uint8Array(4)));
  }
  command(device: number, value: number): void {
    must(this.pwrite(device, CONFIG + 4n, Uint8Array.of(value, 0)));
  }
  /** Where the register of the power management capability is. */
  pmcsr(device: number): bigint {
    const byte = (at: number): number => must(this.pread(device, CONFIG + BigInt(at), 1))[0]!;
    let at = byte(0x34);
    while (byte(at) !== 1) at = byte(at + 1);
    return BigInt(at + 4);
  }
  /** The registers of the device, mapped. */
  registers(device: number): bigint {
    return must(this.program.mmap(0x1000, { fd: device, offset: 0n }));
  }
  /** A cdev bound to an iommufd with an IOAS. */
  bound() {
    const iommufd = must(this.open('/dev/iommu'));
    const device = must(this.open('/dev/vfio/devices/vfio0'));
    const bind = this.call(device, uapi.VFIO_DEVICE_BIND_IOMMUFD, uapi.vfio_device_bind_iommufd, {
      iommufd,
    });
    must(bind.rc);
    const ioas = this.call(iommufd, i.IOMMU_IOAS_ALLOC, i.iommu_ioas_alloc, { size: 12 });
    must(ioas.rc);
    return { iommufd, device, devid: bind.out.out_devid, ioas: ioas.out.out_ioas_id };
  }
  /** Another program that unbinds the device, as often as it is asked to. */
  unbinding(other = this.machine.program()) {
    const { vfs, syscalls } = this.machine;
    const found = must(vfs.lookup('/sys/bus/pci/drivers/vfio-pci/unbind', { cred: other }));
    const { node, path } = found as { node: AttrNode; path: string }; // cast: it is an attribute
    const device = new TextEncoder().encode(this.bdf);
    return () => syscalls.writeAttr(other, path, node, device);
  }
  get lines(): string[] {
    return this.all.filter((line) => !line.startsWith('for DMA the program used'));
  }
  get all(): string[] {
    return explanation(this.journal).map((line) => line.replace(/\[pid +\d+\] /, '').trim());
  }
}
