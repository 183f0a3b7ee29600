/** Files of SR-IOV in the directory of a function: how many virtual ones there are, and who they are (vfio.md 4.1). */
import { EOPNOTSUPP, isErrno } from '../../../base/errno.ts';
import { refuse } from '../../../base/refuse.ts';
import { parseBool, parseUnsigned } from '../../kernel/parameters.ts';
import type { PciDev } from '../../kernel/pci-dev.ts';
import { setNumVfs } from '../../kernel/sriov.ts';
import type { AttrNode } from '../nodes.ts';
import { textAttr, writableAttr } from '../tree.ts';
import type { SysfsWorld } from './world.ts';

/** Of a physical function with SR-IOV, and of virtual ones; of others none. */
export function sriovFiles({ drivers }: SysfsWorld, pf: PciDev): Record<string, AttrNode> {
  const { sriov } = pf;
  if (pf.fn.carrier) return { sriov_vf_msix_count: vectorCount(pf) };
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

/**
 * None of our drivers of physical functions hands out vectors to the virtual ones. EINVAL: no number.
 * @kernel sriov_vf_msix_count_store
 */
function vectorCount(vf: PciDev): AttrNode {
  return writableAttr(undefined, (text) => {
    const count = parseUnsigned(text, 0x7fff_ffff);
    if (isErrno(count)) return count;
    return refuse(EOPNOTSUPP, 'the driver of the physical function hands out no vectors', {
      device: vf.name,
    });
  });
}
