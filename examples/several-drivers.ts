/**
 * Two IOMMU drivers on one machine: an edu behind an Intel unit, another behind the kernel's mock IOMMU. What "iommu:
 * Switch __iommu_domain_alloc() to device ops" (Robin Murphy, January 2023; docs/linux/core.md 1.7) is about.
 *
 * A domain belongs to the driver that made it: attaching it to a device of the other driver is refused before any
 * driver is asked. Run: npx tsx examples/several-drivers.ts
 */
import assert from 'node:assert/strict';
import { Machine, SoftIommuError, type SimDevice } from 'softiommu';
import { runIfMain, type Print } from './run.ts';

const IOVA = 0x200_0000n;

export function main(print: Print): void {
  const machine = new Machine('preset:two-drivers');
  print(machine.topology());
  const intel = machine.device('0000:00:04.0');
  const mock = machine.device('0000:00:05.0');
  for (const device of [intel, mock]) {
    print(`${device.address}: wrote through its own domain, memory holds ${copy(device)}`);
  }
  const owner = {};
  mock.claim(owner);
  const domain = intel.allocDomain();
  try {
    mock.attach(domain);
    throw new Error('a domain of another driver was accepted');
  } catch (error) {
    if (!(error instanceof SoftIommuError)) throw error;
    assert.equal(error.code, 'EINVAL');
    print(`an Intel domain on the mock's device: ${error.code}, ${error.reason}`);
  }
  domain.free();
  mock.release();
  machine.close();
}

/** Own the group, map a page, let the device write to it, and give everything back. */
function copy(device: SimDevice): string {
  const memory = device.allocMemory(4096);
  const domain = device.allocDomain();
  device.claim(device);
  device.attach(domain);
  domain.map(IOVA, memory);
  device.busMaster = true;
  device.dmaWrite(IOVA, new TextEncoder().encode('hello'));
  const text = new TextDecoder().decode(memory.bytes.subarray(0, 5));
  assert.equal(text, 'hello');
  domain.unmap(IOVA, 4096n);
  device.detach(domain);
  device.release();
  domain.free();
  memory.free();
  return `'${text}'`;
}

runIfMain(import.meta.url, main);
