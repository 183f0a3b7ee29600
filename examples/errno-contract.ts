/**
 * What an errno of attach means (Nicolin Chen's return value rules, in Linux since 6.2; docs/linux/core.md 7): EINVAL
 * says "this domain does not fit this device, another may", so a user tries the next domain; every other errno ends the
 * search. Run: npx tsx examples/errno-contract.ts
 *
 * The machine has two Intel units that differ: 48 bits with snoop control, and 39 bits without.
 */
import assert from 'node:assert/strict';
import { Machine, SoftIommuError, type SimDevice, type SimDomain } from 'softiommu';
import { runIfMain, type Print } from './run.ts';

export function main(print: Print): void {
  const machine = new Machine('preset:two-iommus');
  const wide = machine.device('0000:00:04.0');
  const narrow = machine.device('0000:00:05.0');
  const domains: SimDomain[] = [];
  for (const device of [wide, narrow]) {
    device.claim(machine);
    const domain = attachAny(device, domains, print);
    print(`${device.address} is on domain ${domains.indexOf(domain) + 1} of ${domains.length}`);
  }
  // A group that is on a domain already is not a question of fit: the search would end here.
  const busy = codeOf(() => wide.attach(domains[1]!));
  print(`attach on top of another domain: ${busy ?? 'no error'}`);
  assert.equal(busy, 'EBUSY');
  assert.equal(domains.length, 2);
  wide.detach(domains[0]!);
  narrow.detach(domains[1]!);
  for (const device of [wide, narrow]) device.release();
  for (const domain of domains) domain.free();
  machine.close();
}

/** The search of QEMU and of iommufd: the first domain that fits, else a new one. */
function attachAny(device: SimDevice, domains: SimDomain[], print: Print): SimDomain {
  for (const domain of domains) {
    const code = codeOf(() => device.attach(domain));
    if (code === undefined) return domain;
    print(`${device.address}: domain ${domains.indexOf(domain) + 1} answers ${code}`);
    if (code !== 'EINVAL') throw new Error(`the search ends with ${code}`);
  }
  const domain = device.allocDomain();
  device.attach(domain);
  domains.push(domain);
  return domain;
}

function codeOf(call: () => void): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    if (error instanceof SoftIommuError) return error.code;
    throw error;
  }
}

runIfMain(import.meta.url, main);
