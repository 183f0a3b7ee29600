/**
 * mtty, the mediated device of the kernel's samples: a PCI serial card of one or two ports that is software alone, as VFIO
 * shows it (vfio.md 6.4, devices.md 7).
 *
 * NOT IMPLEMENTED: nothing of it does DMA, so its log has nothing to report, and nothing of it can be mapped.
 */
import { EFAULT, EINVAL, ENOTTY, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import { hex } from '../../base/u64.ts';
import {
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_NUM_REGIONS,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  vfio_device_info,
  vfio_region_info,
} from '../../uapi/vfio.ts';
import type { VfioDeviceOps } from '../device-ops.ts';
import { deviceFeature, noFeature } from '../feature.ts';
import { copyToUser, readArg } from '../ioctl.ts';
import { migrationFeature } from '../migration/features.ts';
import type { MigratableDevice } from '../migration/migratable.ts';
import { Migration } from '../migration/migration.ts';
import { placeOf } from '../pci/regions.ts';
import { MttyConfig, MTTY_CONFIG_SIZE } from './mtty-config.ts';
import { MttyIrqs } from './mtty-irqs.ts';
import { UART_STATE_SIZE, UartPort } from './uart.ts';

const BAR_SIZE = 8;
/** 'mtty', a version, and the number of ports. */
const HEAD_SIZE = 24;

export class MttyDevice implements VfioDeviceOps {
  readonly name = 'mtty';
  readonly pasids = false;
  readonly sysPath: string;
  readonly migration: Migration;
  readonly #ports: readonly UartPort[];
  readonly #config: MttyConfig;
  readonly #irqs = new MttyIrqs();
  #isStopped = false;

  constructor(ports: 1 | 2, sysPath: string, migrates = true) {
    this.sysPath = sysPath;
    this.#ports = Array.from({ length: ports }, () => new UartPort(() => this.#irqs.signal()));
    this.#config = new MttyConfig(ports);
    this.migration = new Migration(this.#migratable());
    this.#migrates = migrates;
  }
  /** Of kernels that have it. */
  readonly #migrates: boolean;

  openDevice(): Status {
    this.migration.open();
    return undefined;
  }
  closeDevice(): void {
    this.migration.close();
    this.#irqs.close();
  }
  ioctl(task: Task, cmd: number, arg: bigint): Result<number> {
    return this.#ioctl(task, cmd, arg) ?? 0;
  }
  read(_task: Task, into: Uint8Array, offset: bigint): Result<number> {
    return this.#each(offset, into, (index, at, piece) => {
      if (index === VFIO_PCI_CONFIG_REGION_INDEX) this.#config.read(at, piece);
      else piece[0] = this.#isStopped ? 0xff : (this.#ports[index]?.read(at & 7) ?? 0);
    });
  }
  write(_task: Task, from: Uint8Array, offset: bigint): Result<number> {
    return this.#each(offset, from, (index, at, piece) => {
      if (index === VFIO_PCI_CONFIG_REGION_INDEX) this.#config.write(at, piece);
      else if (!this.#isStopped) this.#ports[index]?.write(at & 7, piece[0]!);
    });
  }

  #ioctl(task: Task, cmd: number, arg: bigint): Result<number> | undefined {
    switch (cmd) {
      case VFIO_DEVICE_GET_INFO:
        return this.#getInfo(task, arg);
      case VFIO_DEVICE_GET_REGION_INFO:
        return this.#getRegionInfo(task, arg);
      case VFIO_DEVICE_GET_IRQ_INFO:
        return this.#irqs.getInfo(task, arg);
      case VFIO_DEVICE_SET_IRQS:
        return this.#irqs.set(task, arg);
      case VFIO_DEVICE_RESET:
        this.migration.reset();
        return undefined;
      case VFIO_DEVICE_FEATURE:
        return deviceFeature(this, task, arg, (index) => {
          const found = this.#migrates ? migrationFeature(this.migration, index) : undefined;
          return found ?? noFeature(index);
        });
      default:
        return refuse(ENOTTY, 'mtty has no such request', { cmd: hex(cmd) });
    }
  }
  /** Of the struct, as much as there was when the sample was written. */
  #getInfo(task: Task, arg: bigint): Status {
    const info = readArg(task, arg, vfio_device_info, 'num_irqs');
    if (isErrno(info)) return info;
    info.flags = VFIO_DEVICE_FLAGS_PCI;
    info.num_regions = VFIO_PCI_NUM_REGIONS;
    info.num_irqs = VFIO_PCI_NUM_IRQS;
    this.#irqs.isCounted = true;
    return copyToUser(task, arg, info.bytes.subarray(0, vfio_device_info.end('num_irqs')));
  }
  #getRegionInfo(task: Task, arg: bigint): Status {
    const info = readArg(task, arg, vfio_region_info, 'offset');
    if (isErrno(info)) return info;
    const { index } = info;
    if (index >= VFIO_PCI_NUM_REGIONS) {
      return refuse(EINVAL, 'the device has no such region', { index });
    }
    const isConfig = index === VFIO_PCI_CONFIG_REGION_INDEX;
    const barSize = index < this.#ports.length ? BAR_SIZE : 0;
    info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    info.cap_offset = 0;
    info.size = BigInt(isConfig ? MTTY_CONFIG_SIZE : barSize);
    info.offset = BigInt(index) << 40n;
    return copyToUser(task, arg, info.bytes);
  }
  /** Pieces of 4, 2 and 1 bytes, by their alignment. EFAULT: no such region. */
  #each(
    offset: bigint,
    data: Uint8Array,
    run: (index: number, at: number, piece: Uint8Array) => void,
  ): Result<number, 'EFAULT'> {
    const { index, at } = placeOf(offset);
    const isThere = index === VFIO_PCI_CONFIG_REGION_INDEX || index < 6;
    if (!isThere) return refuse(EFAULT, 'there is nothing in this region', { index });
    for (let done = 0; done < data.length;) {
      const place = at + done;
      const left = data.length - done;
      const width = [4, 2, 1].find((size) => size <= left && place % size === 0)!;
      run(index, place, data.subarray(done, done + width));
      done += width;
    }
    return data.length;
  }

  #migratable(): MigratableDevice {
    const head = new Uint8Array(HEAD_SIZE);
    head.set(new TextEncoder().encode('mtty'));
    head.set([1, this.#ports.length], 8);
    const size = UART_STATE_SIZE;
    return {
      p2p: true,
      preCopy: true,
      sendsImagesEarly: false,
      head,
      setActivity: (activity) => (this.#isStopped = activity === 'stopped'),
      image: () => Uint8Array.from(this.#ports.flatMap((port) => [...port.state()])),
      load: (images) => {
        if (images.length !== size * this.#ports.length) {
          return refuse(EINVAL, 'the ports of the device have another state', {
            length: images.length,
          });
        }
        for (const [n, port] of this.#ports.entries()) {
          port.restore(images.subarray(size * n, size * n + size));
        }
        return undefined;
      },
      onReset: () => undefined,
      watchWrites: () => undefined,
    };
  }
}
