/**
 * The modules of the simulated kernel: which are loaded, which use which (vfio.md 4.1). Their parameters are in
 * parameters.ts; drivers that are built in have no module.
 */
import type { KernelEnv } from '../../base/kernel-env.ts';
import type { VfioSubsystem } from '../../vfio/vfio-core.ts';
import type { DriverCore } from './driver-core.ts';

/** One loaded module. @kernel module */
export interface KernelModule {
  /** With underscores, as the kernel knows it. */
  readonly name: string;
  /** Bytes of its code and data, of about the size a distribution's has. */
  readonly size: number;
  /** Modules it takes symbols of. */
  readonly uses: readonly string[];
  /** Below kernel/ in the directory of modules. */
  readonly path: string;
  /** Other names modprobe(8) finds it by. */
  readonly aliases?: readonly string[];
}

const VFIO_MODULES: readonly KernelModule[] = [
  { name: 'irqbypass', size: 12288, uses: [], path: 'virt/lib/irqbypass.ko' },
  { name: 'iommufd', size: 131072, uses: [], path: 'drivers/iommu/iommufd/iommufd.ko' },
  {
    name: 'vfio',
    size: 69632,
    uses: ['iommufd'],
    path: 'drivers/vfio/vfio.ko',
    aliases: ['devname:vfio/vfio', 'char-major-10-196'],
  },
  {
    name: 'vfio_iommu_type1',
    size: 49152,
    uses: ['vfio'],
    path: 'drivers/vfio/vfio_iommu_type1.ko',
  },
  {
    name: 'vfio_pci_core',
    size: 94208,
    uses: ['vfio', 'irqbypass'],
    path: 'drivers/vfio/pci/vfio-pci-core.ko',
  },
  {
    name: 'vfio_pci',
    size: 16384,
    uses: ['vfio_pci_core'],
    path: 'drivers/vfio/pci/vfio-pci.ko',
    // It takes every function, but none that is not given to it.
    aliases: ['vfio_pci:v*d*sv*sd*bc*sc*i*'],
  },
];
/** Drivers that kernels have built in. */
const BUILT_IN = ['pcieport', 'pci_stub'];
/** Where modprobe(8) finds them named, below kernel/. */
export const BUILT_IN_PATHS = ['drivers/pci/pcie/pcieportdrv.ko', 'drivers/pci/pci-stub.ko'];
const DRIVER_SIZE = 65536;

/** What is loaded, in the order in which it was. */
export function loadedModules(env: KernelEnv, drivers: DriverCore): KernelModule[] {
  const absent = env.has('no-iommufd') ? ['iommufd'] : [];
  const known = new Set([...VFIO_MODULES.map(({ name }) => name), ...BUILT_IN]);
  const others = [...drivers.drivers.values()].filter(({ module }) => !known.has(module));
  return [
    ...VFIO_MODULES.filter(({ name }) => !absent.includes(name)).map((module) => ({
      ...module,
      uses: module.uses.filter((used) => !absent.includes(used)),
    })),
    ...others.map(({ module }) => ({
      name: module,
      size: DRIVER_SIZE,
      uses: [],
      path: `drivers/${module.replaceAll('_', '-')}.ko`,
    })),
  ];
}

/** The modules that use this one. */
export function holdersOf(modules: readonly KernelModule[], name: string): string[] {
  return modules.filter(({ uses }) => uses.includes(name)).map((module) => module.name);
}

/** How many use a module: other modules, and of vfio-pci who has a device open. @kernel module_refcount */
export function refCount(
  modules: readonly KernelModule[],
  name: string,
  vfio: VfioSubsystem,
): number {
  const open = name === 'vfio_pci' ? [...vfio.devices()].filter((d) => d.openCount > 0).length : 0;
  return holdersOf(modules, name).length + open;
}
