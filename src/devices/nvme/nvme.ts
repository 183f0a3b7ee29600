/**
 * An NVMe 1.4 controller with the NVM command set (devices.md 4, vfio.md 6.2): admin and up to 64 I/O queues, MSI-X,
 * namespaces on storage of the host or in memory.
 *
 * NOT IMPLEMENTED: interrupts by pin or MSI, controller memory buffers, persistent memory regions, boot partitions,
 * weighted arbitration, host memory buffers, power states besides 0, metadata and protection information, fused commands,
 * reservations, copy, sanitize, self-test, telemetry, ANA, firmware download, namespace management, security, directives.
 */
import type { BlockBacking, HostNeed } from '../host-services.ts';
import type { DeviceOptions, DevicePort, DeviceType, PciIdentity } from '../port.ts';
import { MemoryDisk } from '../unit/memory-disk.ts';
import { shadowPages } from '../unit/register-shadow.ts';
import type { NvmeConfig } from './context.ts';
import { NvmeController } from './controller.ts';
import { NVME_IDS } from './ids.ts';
import { Namespace } from './namespace.ts';
import { MOST_QUEUES, NVME_REGISTERS } from './registers.ts';

const MIB = 2n ** 20n;
const MSIX_BAR = 4;

const OPTIONS = {
  drives: {
    kind: 'text',
    default: '',
    list: true,
    form: {
      words: 'names of block devices, separated by commas, or nothing',
      pattern: /^([A-Za-z0-9_.-]+(,[A-Za-z0-9_.-]+){0,63})?$/,
    },
    help: 'names of the blocks its namespaces are on, separated by commas; none: memory of its own',
  },
  size_mib: {
    kind: 'integer',
    default: 64,
    min: 1,
    max: 0x10_0000,
    help: 'MiB of a namespace in memory; costs what is written',
  },
  namespaces: {
    kind: 'integer',
    default: 1,
    min: 1,
    max: 64,
    help: 'namespaces in memory, where no drives are named',
  },
  block_size: {
    kind: 'choice',
    values: [512, 4096],
    default: 512,
    help: 'bytes of a block; a format changes it',
  },
  queues: {
    kind: 'integer',
    default: MOST_QUEUES,
    min: 1,
    max: MOST_QUEUES,
    help: 'I/O queues of each kind; there is a vector for each, and one more',
  },
  mdts: {
    kind: 'integer',
    default: 5,
    min: 1,
    max: 9,
    help: 'most data of a command: 4096 << mdts bytes',
  },
  sgl: {
    kind: 'boolean',
    default: false,
    help: 'data of I/O commands may be scatter-gather lists',
  },
  doorbell_buffer: {
    kind: 'boolean',
    default: false,
    help: 'doorbells of I/O queues may be in memory, so that most are not rung',
  },
  serial: {
    kind: 'text',
    default: '',
    form: { words: 'at most 20 letters and digits', pattern: /^[A-Za-z0-9]{0,20}$/ },
    help: 'serial number; by default made of the address',
  },
} as const;

export const nvme: DeviceType = {
  type: 'nvme',
  summary: 'NVMe 1.4 controller: up to 64 queues, namespaces in memory or on files',
  migratable: true,
  options: OPTIONS,
  registers: [{ bar: 0, table: NVME_REGISTERS }],
  identity: (options) => ({ ...IDENTITY, msix: msixOf(Number(options['queues'])) }),
  needs: (options) => drivesOf(options).map((name): HostNeed => ({ kind: 'block', name })),
  create(port, options) {
    const config: NvmeConfig = {
      queues: Number(options['queues']),
      mdts: Number(options['mdts']),
      sgl: options['sgl'] === true,
      doorbellBuffer: options['doorbell_buffer'] === true,
      serial: String(options['serial']),
    };
    const format = options['block_size'] === 4096 ? 1 : 0;
    const namespaces = backingsOf(port, options).map(
      (backing, n) => new Namespace(n + 1, backing, format),
    );
    return new NvmeController(port, config, namespaces);
  },
};

const IDENTITY: PciIdentity = {
  ...NVME_IDS,
  revision: 1,
  classCode: 0x01_08_02,
  bars: [
    { index: 0, size: 0x4000, kind: 'mem64', shadow: shadowPages(NVME_REGISTERS) },
    { index: MSIX_BAR, size: 0x2000, kind: 'mem32' },
  ],
  interruptPin: 0,
  pcie: { flr: true, type: 'endpoint' },
  powerManagement: true,
};
function msixOf(queues: number): NonNullable<PciIdentity['msix']> {
  return { vectors: queues + 1, bar: MSIX_BAR, tableOffset: 0, pbaOffset: 0x1000 };
}

function drivesOf(options: DeviceOptions): string[] {
  const drives = String(options['drives']);
  return drives === '' ? [] : drives.split(',');
}
function backingsOf(port: DevicePort, options: DeviceOptions): BlockBacking[] {
  const drives = drivesOf(options);
  if (drives.length > 0) return drives.map((name) => port.host.block(name));
  const length = BigInt(options['size_mib']!) * MIB;
  return Array.from({ length: Number(options['namespaces']) }, () => new MemoryDisk(length));
}
