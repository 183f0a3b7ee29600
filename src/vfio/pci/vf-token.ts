/**
 * The token that the users of a physical function and of its virtual ones share: who knows it is trusted by the others
 * (vfio.md 2.12).
 */
import { EACCES, EINVAL, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';

/** The token of one physical function in the hands of vfio-pci. @kernel vfio_pci_vf_token */
export class VfToken {
  /** 32 digits. Undefined: the one it was bound with, which nobody knows. */
  #uuid: string | undefined;
  /** Virtual functions that are open. */
  users = 0;

  set(uuid: string): void {
    this.#uuid = digitsOf(uuid);
  }
  matches(uuid: string): boolean {
    return this.#uuid === digitsOf(uuid);
  }
}

function digitsOf(uuid: string): string {
  return uuid.toLowerCase().replaceAll('-', '');
}

/** What tokens say of a function. */
export interface TokenRules {
  /** Of a physical function with SR-IOV. */
  readonly own: VfToken | undefined;
  readonly isVirtual: boolean;
  /** Of a virtual function that vfio-pci has switched on: its physical one's. */
  readonly carriers: VfToken | undefined;
}

/**
 * May somebody with this token, or with none, open the function? EACCES: it takes the right one; EINVAL: it takes none.
 * @kernel vfio_pci_validate_vf_token
 */
export function checkVfToken(rules: TokenRules, uuid: string | undefined): Status {
  const { own, isVirtual, carriers } = rules;
  if (isVirtual && carriers) return demand(carriers, uuid);
  if (uuid === undefined) return own && own.users > 0 ? demand(own, uuid) : undefined;
  if (isVirtual) {
    return refuse(EINVAL, 'its physical function is not shared by vfio-pci: it takes no token', {
      uuid,
    });
  }
  if (!own) return refuse(EINVAL, 'the function is neither a PF with VFs nor a VF', { uuid });
  if (own.users > 0) return demand(own, uuid);
  own.set(uuid);
  return undefined;
}

function demand(token: VfToken, uuid: string | undefined): Status {
  if (uuid !== undefined && token.matches(uuid)) return undefined;
  return refuse(EACCES, 'the token of the physical function is wanted', { uuid: uuid ?? 'none' });
}
