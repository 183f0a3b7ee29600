/** The string of GET_DEVICE_FD for vfio-pci: a PCI name, then at most one vf_token (vfio.md 1.6). */
import { EINVAL, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';

const UUID = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/;

/** What the string says besides the name. */
export interface NameOptions {
  readonly vfToken?: string;
}

/** False: another device. EINVAL: this one, with options that are wrong. */
export function matchPciName(
  pciName: string,
  given: string,
): Result<NameOptions | false, 'EINVAL'> {
  if (!given.startsWith(pciName)) return false;
  const rest = given.slice(pciName.length);
  if (rest !== '' && !rest.startsWith(' ')) return false;
  const words = rest.split(' ').filter((word) => word !== '');
  if (words.length === 0) return {};
  const [option] = words;
  if (words.length > 1 || !option!.startsWith('vf_token=')) {
    return refuse(EINVAL, 'the only option is one vf_token', { options: rest.trim() });
  }
  const vfToken = option!.slice('vf_token='.length);
  if (!UUID.test(vfToken)) {
    return refuse(EINVAL, 'the vf_token is not a UUID', { option: option! });
  }
  return { vfToken };
}
