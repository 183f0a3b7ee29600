/** Files of SR-IOV in the directory of a function: how many virtual ones there are, and who they are (vfio.md 4.1). */
import { isErrno } from '../../../base/errno.ts';
import { parseBool } from '../../kernel/parameters.ts';
import type { PciDev } from '../../kernel/pci-dev.ts';
import { setNumVfs } from '../../kernel/sriov.ts';
import type { AttrNode } from '../nodes.ts';
import { textAttr, writableAttr } from '../tree.ts';
import type { SysfsWorld } from './world.ts';

/** Of a physical function with SR-IOV; of others none. */
export function sriovFiles({ drivers }: SysfsWorld, pf: PciDev): Record<string, AttrNode> {
  const { sriov } = pf;
  if (!sriov) return {};
  const { spec } = sriov.hardware;
  return {
    sriov_totalvfs: textAttr(() => `${spec.totalVfs}\n`),
    sriov_numvfs: writableAttr(
      () => `${sriov.numVfs}\n`,
      (text) => setNumVfs(pf, pf.driver && drivers.drivers.get(pf.driver.name), text),
    ),
    sriov_offset: textAttr(() => `${spec.firstOffset}\n`),
    sriov_stride: textAttr(() => `${spec.stride}\n`),
    sriov_vf_device: textAttr(() => `${spec.device.toString(16)}\n`),
    sriov_vf_total_msix: textAttr(() => '0\n'),
    sriov_drivers_autoprobe: writableAttr(
      () => `${sriov.driversAutoprobe ? 1 : 0}\n`,
      (text) => {
        const on = parseBool(text);
        if (isErrno(on)) return on;
        sriov.driversAutoprobe = on;
        return undefined;
      },
    ),
  };
}
