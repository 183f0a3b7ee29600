/**
 * Files of a function that hold what was written to them or show what its kernel does with it: msi_irqs/, power/, rom,
 * d3cold_allowed and its like (vfio.md 4.1).
 */
import { EINVAL, isErrno } from '../../../base/errno.ts';
import { refuse } from '../../../base/refuse.ts';
import { romSize } from '../../../vfio/pci/config.ts';
import { parseUnsigned } from '../../kernel/parameters.ts';
import type { PciDev } from '../../kernel/pci-dev.ts';
import type { AttrNode, DirNode, Node } from '../nodes.ts';
import { dir, textAttr, writableAttr } from '../tree.ts';

type Flag = keyof PciDev['flags'];
const FLAGS: readonly Flag[] = ['broken_parity_status', 'd3cold_allowed', 'msi_bus'];

/** Of every function; `rom` where there is one, `msi_irqs` while vectors are handed out. */
export function kernelFiles(pci: PciDev): Record<string, Node | undefined> {
  return {
    ...Object.fromEntries(FLAGS.map((name) => [name, flagFile(pci, name)])),
    msi_irqs: vectorDir(pci),
    power: powerDir(pci),
    rom: romFile(pci),
  };
}

function flagFile({ flags }: PciDev, name: Flag): AttrNode {
  return writableAttr(
    () => `${flags[name] ? 1 : 0}\n`,
    (text) => {
      const on = parseUnsigned(text, Number.MAX_SAFE_INTEGER);
      if (isErrno(on)) return on;
      flags[name] = on !== 0;
      return undefined;
    },
  );
}

/** A file for each vector, by its number. @kernel msi_populate_sysfs */
function vectorDir({ irqs }: PciDev): DirNode | undefined {
  const { vectors } = irqs;
  if (!vectors) return undefined;
  const { kind, numbers } = vectors;
  return dir(() => Object.fromEntries(numbers.map((n) => [`${n}`, textAttr(() => `${kind}\n`)])));
}

function powerDir(pci: PciDev): DirNode {
  return dir(() => ({
    control: writableAttr(
      () => `${pci.mayIdle ? 'auto' : 'on'}\n`,
      (text) => {
        const word = text.trim();
        if (word !== 'auto' && word !== 'on') {
          return refuse(EINVAL, 'power/control is auto or on', { text: word });
        }
        pci.mayIdle = word === 'auto';
        return undefined;
      },
    ),
    runtime_status: textAttr(() => {
      const isActive = pci.fn.powerState === 0 && !pci.suspended;
      return isActive ? 'active\n' : 'suspended\n';
    }),
  }));
}

/** It reads as nothing that can be read until something other than 0 was written. @kernel pci_read_rom, pci_write_rom */
function romFile(pci: PciDev): AttrNode | undefined {
  const { rom } = pci.fn.identity;
  if (!rom) return undefined;
  const size = romSize(pci.fn);
  return {
    kind: 'attr',
    mode: 0o600,
    size,
    read() {
      if (!pci.romEnabled) return refuse(EINVAL, 'the ROM is not enabled: write 1 first');
      const image = new Uint8Array(size).fill(0xff);
      image.set(rom);
      return image;
    },
    write(_task, data, offset) {
      pci.romEnabled = !(offset === 0 && new TextDecoder().decode(data) === '0\n');
      return data.length;
    },
  };
}
