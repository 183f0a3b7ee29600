/** vfio-pci as a driver of the PCI bus: probe and remove (vfio.md 4.2). */
import { EBUSY, EINVAL, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Outcome } from '../../base/wait-queue.ts';
import type { Device } from '../../core/contract/device.ts';
import type { VfioDevice } from '../device.ts';
import { VfioPciDevice } from './core.ts';
import { VfioPciState, type VfioPciFunction } from './state.ts';
import type { VfioSubsystem } from '../vfio-core.ts';
import { VfToken, type TokenRules } from './vf-token.ts';

const INTEL = 0x8086;
/** Accelerators that a user could make harm the host: refused unless disable_denylist is Y. */
const DENYLIST = [0x0435, 0x0443, 0x0b25, 0x0cfe, 0x19e2, 0x19e3, 0x37c8, 0x37c9];

/**
 * Take a PCI function: its group and nodes appear. The caller keeps the driver model's side (dev.driver, links).
 * EBUSY: it shows virtual functions; EINVAL: denylisted, not a type 0 header, no IOMMU while noiommu mode is off, or one that is not coherent.
 * @kernel vfio_pci_probe
 */
export function bindPci(subsystem: VfioSubsystem, pci: VfioPciFunction): Result<VfioDevice> {
  const { dev, fn } = pci;
  const { vendor, device } = fn.identity;
  if (vendor === INTEL && DENYLIST.includes(device) && !subsystem.env.has('vfio-denylist-off')) {
    return refuse(EINVAL, 'the device is on the denylist of vfio-pci', { device: dev.name });
  }
  if (fn.identity.bridge)
    return refuse(EINVAL, 'a bridge is not given to a user', { device: dev.name });
  if (pci.numVfs > 0) {
    return refuse(EBUSY, 'the function shows virtual ones of another driver', { device: dev.name });
  }
  const state = new VfioPciState(subsystem, pci, tokenRules(subsystem, pci));
  return subsystem.registerDevice(dev, new VfioPciDevice(state, pci.sysPath));
}

/** The user of this physical function shows virtual ones: theirs will need its token. @kernel vfio_pci_core_sriov_configure */
export function carryVfs(subsystem: VfioSubsystem, dev: Device): void {
  const state = pciStateOf(subsystem, dev);
  if (state) state.carriesVfs = true;
}

/** The device reported an error that is no longer its own affair: its user hears of it. @kernel vfio_pci_core_aer_err_detected */
export function tellError(subsystem: VfioSubsystem, dev: Device): void {
  const state = pciStateOf(subsystem, dev);
  if (state?.hasErrIrq) state.irqs.signalSingle('err');
}

function tokenRules(subsystem: VfioSubsystem, { dev, fn }: VfioPciFunction): TokenRules {
  const { isVf = false, physfn } = dev.config.pci ?? {};
  const carrier = physfn && pciStateOf(subsystem, physfn);
  return {
    own: fn.sriov && new VfToken(),
    isVirtual: isVf,
    carriers: carrier?.carriesVfs ? carrier.tokens.own : undefined,
  };
}
function pciStateOf(subsystem: VfioSubsystem, dev: Device): VfioPciState | undefined {
  const ops = subsystem.deviceOf(dev)?.ops;
  return ops instanceof VfioPciDevice ? ops.state : undefined;
}

/** Waits until the user let go. @kernel vfio_pci_remove */
export function unbindPci(subsystem: VfioSubsystem, dev: Device): Outcome<Status> {
  return subsystem.unregisterDevice(dev);
}
