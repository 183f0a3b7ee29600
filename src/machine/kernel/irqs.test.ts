import { describe, expect, test } from 'vitest';
import { EBUSY, EFAULT, EINVAL, ENODEV, ENOSPC } from '../../base/errno.ts';
import { KernelEnv } from '../../base/kernel-env.ts';
import { refuse } from '../../base/refuse.ts';
import { PciDeviceFunction } from '../../pci/function.ts';
import type { PciIdentity } from '../../pci/identity.ts';
import { isInterrupt } from '../../pci/messages.ts';
import { PCI_COMMAND } from '../../uapi/pci-regs.ts';
import { InterruptController } from '../hardware/interrupt-controller.ts';
import { PciDevIrqs } from './irqs.ts';

const IDENTITY: PciIdentity = {
  vendor: 0x1234,
  device: 0x5678,
  revision: 2,
  classCode: 0x010802,
  interruptPin: 1,
  bars: [{ index: 2, size: 0x2000, kind: 'mem32' }],
  msiVectors: 4,
  msix: { vectors: 4, bar: 2, tableOffset: 0x1000, pbaOffset: 0x1800 },
};

function rig(
  identity: PciIdentity = IDENTITY,
  prepare: ConstructorParameters<typeof PciDevIrqs>[0]['prepare'] = (doorbell) => doorbell,
) {
  const controller = new InterruptController();
  const fn: PciDeviceFunction = new PciDeviceFunction({
    env: new KernelEnv(),
    at: { segment: 0, bus: 2, device: 3, fn: 1 },
    identity,
    sink: {
      message: (message) => isInterrupt(message) && controller.message(fn, message.data),
      line: () => controller.line(fn),
    },
    registers: () => undefined,
    hotResetSet: () => undefined,
  });
  fn.writeConfig(PCI_COMMAND, 2, 6);
  return { fn, irqs: new PciDevIrqs({ fn, controller, prepare }) };
}

describe('vectors', () => {
  test('vectors are of one capability at a time, within hardware and host', () => {
    const { irqs } = rig();
    expect(irqs.allocVectors('msi', 9)).toBe(4);
    expect(irqs.allocVectors('msix', 1)).toBe(EBUSY);
    expect(irqs.allocAt(5)).toBe(EINVAL);
    irqs.freeVectors();
    irqs.available = 0;
    expect(irqs.allocVectors('msix', 1)).toBe(ENOSPC);
    irqs.available = 1;
    expect(irqs.allocVectors('msix', 2)).toBe(1);
    expect(irqs.allocAt(0)).toBeUndefined();
    expect(irqs.allocAt(1)).toBe(ENOSPC);
  });
  test('a vector that is not there is ENODEV', () => {
    const { irqs } = rig({ ...IDENTITY, msiVectors: 0, interruptPin: 0 });
    expect(irqs.allocVectors('msi', 1)).toBe(ENODEV);
    expect(irqs.requestIntx(() => undefined)).toBe(ENODEV);
  });
  test('a doorbell that cannot be reached gives no vector', () => {
    const { irqs } = rig(IDENTITY, () => refuse(EFAULT, 'there is no way'));
    expect(irqs.allocVectors('msi', 1)).toBe(EFAULT);
  });
});

describe('delivery', () => {
  test.for(['msi', 'msix'] as const)('an %s vector runs its handler until it is freed', (kind) => {
    const { fn, irqs } = rig();
    const seen: number[] = [];
    expect(irqs.allocVectors(kind, 2)).toBe(2);
    for (const n of [0, 1]) irqs.request(n, () => seen.push(n));
    fn.raise(1);
    expect(seen).toEqual([1]);
    irqs.free(1);
    fn.raise(1);
    fn.raise(0);
    expect(seen).toEqual([1, 0]);
    irqs.freeVectors();
    fn.raise(0);
    expect(seen).toEqual([1, 0]);
  });
  test('a vector that was masked by its entry comes when it is requested', () => {
    const { fn, irqs } = rig();
    let seen = 0;
    expect(irqs.allocVectors('msix', 1)).toBe(1);
    fn.raise(0);
    irqs.request(0, () => seen++);
    expect(seen).toBe(1);
  });
  test('a message somebody scribbled over goes nowhere', () => {
    const { fn, irqs } = rig();
    let seen = 0;
    expect(irqs.allocVectors('msix', 1)).toBe(1);
    irqs.request(0, () => seen++);
    fn.bars[2]!.window.store(0x1000, 4, 0x1000n);
    fn.raise(0);
    expect(seen).toBe(0);
  });
  test('the line is heard while it is requested', () => {
    const { fn, irqs } = rig();
    let seen = 0;
    expect(irqs.requestIntx(() => seen++)).toBeUndefined();
    fn.setIntx(true);
    fn.setIntx(false);
    irqs.freeIntx();
    fn.setIntx(true);
    expect(seen).toBe(1);
  });
});
