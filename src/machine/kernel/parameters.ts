/**
 * Module parameters under /sys/module (vfio.md 4.1): some are kernel traits, some are limits of a subsystem.
 */
import { EINVAL, ERANGE, isErrno, type Result, type Status } from '../../base/errno.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import type { KernelTrait } from '../../base/kernel-traits.ts';
import { refuse } from '../../base/refuse.ts';
import type { VfioSubsystem } from '../../vfio/vfio-core.ts';

/** One module parameter as its file shows it. */
export interface Parameter {
  read(): string;
  /** Undefined: mode 0444. */
  readonly write?: (text: string) => Status;
}
/** Parameters by module and name. */
export type Modules = Readonly<Record<string, Readonly<Record<string, Parameter>>>>;

/** The parameters of a machine; a write is EINVAL for what is no value of the parameter. */
export function makeModules(env: KernelEnv, vfio: VfioSubsystem): Modules {
  const limits = vfio.parameters;
  return {
    vfio: { enable_unsafe_noiommu_mode: traitParameter(env, 'unsafe-noiommu-mode') },
    vfio_pci: {
      disable_denylist: traitParameter(env, 'vfio-denylist-off'),
      disable_idle_d3: constant('N'),
      disable_vga: constant('Y'),
      enable_sriov: traitParameter(env, 'vfio-sriov'),
      nointxmask: constant('N'),
    },
    vfio_pci_core: {},
    vfio_iommu_type1: {
      allow_unsafe_interrupts: traitParameter(env, 'unsafe-interrupts'),
      disable_hugepages: constant('N'),
      dma_entry_limit: {
        read: () => `${limits.dmaEntryLimit}\n`,
        write: (text) => setCount(text, (n) => (limits.dmaEntryLimit = n)),
      },
    },
    iommufd: { allow_unsafe_interrupts: traitParameter(env, 'unsafe-interrupts') },
  };
}

function traitParameter(env: KernelEnv, trait: KernelTrait): Parameter {
  return {
    read: () => yesNo(env.has(trait)),
    write: (text) =>
      setBool(text, (on) => {
        env.setTrait(trait, on);
      }),
  };
}
function constant(value: string): Parameter {
  return { read: () => `${value}\n` };
}
function yesNo(on: boolean): string {
  return on ? 'Y\n' : 'N\n';
}
function setBool(text: string, set: (on: boolean) => void): Status {
  const on = parseBool(text);
  if (isErrno(on)) return on;
  set(on);
  return undefined;
}
function setCount(text: string, set: (n: number) => void): Status {
  const n = Number(text.trim() || 'x');
  if (!Number.isInteger(n) || n < 0 || n > 0xffff_ffff) {
    return refuse(EINVAL, 'the parameter is an unsigned number', { text: text.trim() });
  }
  set(n);
  return undefined;
}

/** A number as C writes it. EINVAL: it is none; ERANGE: above `most`. @kernel kstrtoull */
export function parseUnsigned(text: string, most: number): Result<number, 'EINVAL' | 'ERANGE'> {
  const [, digits = ''] = /^\+?(0x[0-9a-f]+|[0-9]+)\n?$/i.exec(text) ?? [];
  const isOctal = /^0[0-9]/.test(digits);
  const value = isOctal ? (/^[0-7]+$/.test(digits) ? parseInt(digits, 8) : NaN) : Number(digits);
  if (digits === '' || Number.isNaN(value)) {
    return refuse(EINVAL, 'an unsigned number is decimal, 0x and hex digits, or 0 and octal ones', {
      text: text.trim(),
    });
  }
  if (value > most) return refuse(ERANGE, 'the number is too large', { text: text.trim(), most });
  return value;
}

/** @kernel kstrtobool */
export function parseBool(text: string): Result<boolean, 'EINVAL'> {
  const first = text.trim().toLowerCase();
  if (/^(y|1|t|on)/.test(first)) return true;
  if (/^(n|0|f|of)/.test(first)) return false;
  return refuse(EINVAL, 'a truth value is one of y, n, 1, 0, on, off', { text: text.trim() });
}
