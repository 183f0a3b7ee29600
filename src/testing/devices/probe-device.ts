/** A device made to test PCI and VFIO: every kind of BAR, MSI-X, INTx, and registers that do what they are told. */
import type { DeviceType } from '../../devices/port.ts';

/** BAR 0: 0x00 write raises that vector; 0x08 drives INTx; 0x10… is memory of 64 bytes. Last accesses are kept. */
export const accesses: string[] = [];

export const PROBE: DeviceType = {
  type: 'probe',
  summary: 'for tests',
  options: {
    conventional: { kind: 'boolean', default: false, help: 'no PCIe' },
    flr: { kind: 'boolean', default: true, help: 'FLR' },
    reset: { kind: 'boolean', default: true, help: 'another function reset' },
    pin: { kind: 'integer', default: 1, help: 'interrupt pin' },
    rom: { kind: 'boolean', default: false, help: 'an expansion ROM of three bytes' },
  },
  identity(options) {
    const pcie = { flr: options['flr'] === true, type: 'endpoint' as const };
    return {
      vendor: 0x1b36,
      device: 0xabcd,
      revision: 3,
      classCode: 0x08_80_00,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
      interruptPin: Number(options['pin']),
      bars: [
        { index: 0, size: 0x4000, kind: 'mem64', prefetchable: true },
        { index: 2, size: 0x1000, kind: 'mem32' },
        { index: 3, size: 0x20, kind: 'io' },
        { index: 4, size: 0x100, kind: 'mem32' },
      ],
      msiVectors: 4,
      msix: { vectors: 8, bar: 2, tableOffset: 0, pbaOffset: 0x800 },
      powerManagement: true,
      functionReset: options['reset'] === true,
      ...(options['rom'] && { rom: Uint8Array.of(0x55, 0xaa, 1) }),
      ...(!options['conventional'] && { pcie, ats: true, pri: true, pasidBits: 16 }),
    };
  },
  create(port) {
    const scratch = new Uint8Array(64);
    return {
      mmioRead(bar, offset, width) {
        accesses.push(`r${bar}:${offset.toString(16)}/${width}`);
        let value = 0n;
        for (let n = width - 1; n >= 0; n--) {
          value = (value << 8n) | BigInt(scratch[(offset + n) & 63]!);
        }
        return value;
      },
      mmioWrite(bar, offset, width, value) {
        accesses.push(`w${bar}:${offset.toString(16)}/${width}`);
        if (bar === 0 && offset === 0) port.irq.message(Number(value));
        else if (bar === 0 && offset === 8) port.irq.intx(value !== 0n);
        else {
          for (let n = 0; n < width; n++) {
            scratch[(offset + n) & 63] = Number((value >> BigInt(8 * n)) & 0xffn);
          }
        }
      },
      reset() {
        accesses.push('reset');
        scratch.fill(0);
        port.irq.intx(false);
      },
      powerOn: () => undefined,
      state: () => scratch.slice(),
      restore: (state: Uint8Array) => scratch.set(state),
    };
  },
};
