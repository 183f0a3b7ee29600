/** Domains that are made for a wish and freed after the answer (core.md 6.5). */
import { expect, test } from 'vitest';
import { ENOMEM, EOPNOTSUPP, type Errno, type Result } from '../../base/errno.ts';
import { newDomain } from '../../core/map/domain-alloc.ts';
import type { Domain } from '../../core/contract/domain.ts';
import { machineOf } from '../../testing/machine/client.ts';
import { testWishes } from './test-wishes.ts';
import { parseWishes } from './wish-list.ts';

const AT = '0000:00:04.0';

/** Ask for an identity domain where the driver has no static one; which domains were freed? */
function askIdentity(failure: Errno | 'no op' | undefined) {
  const machine = machineOf('mock');
  const { core } = machine;
  const { ops } = machine.pci.device(AT)!.dev.iommu!.iommuDev!;
  const freed: string[] = [];
  const domainAllocIdentity = (): Result<Domain> => {
    if (failure && failure !== 'no op') return failure;
    const free = (domain: Domain) => void freed.push(domain.name);
    const attach = ops.defaultDomainOps;
    return newDomain(core, { kind: 'made', type: 0, ops: { ...attach, free } });
  };
  Object.assign(ops, {
    identityDomain: undefined,
    domainAllocIdentity: failure === 'no op' ? undefined : domainAllocIdentity,
  });
  const parsed = parseWishes([{ domain: { device: AT, type: 'identity' }, device: AT }]);
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  const before = core.domains.size;
  const asked = testWishes(machine, parsed.list);
  if ('problems' in asked) throw new Error(JSON.stringify(asked.problems));
  expect(core.domains.size).toBe(before);
  return { ...asked.answers[0]!, freed: freed.length };
}

test('an identity domain that is made for the question is freed after it', () => {
  const { devices, freed } = askIdentity(undefined);
  expect(devices[0]!.stage).not.toBe('alloc');
  expect(freed).toBe(1);
});

test.for([
  ['the driver makes none', 'no op', EOPNOTSUPP],
  ['the driver fails', ENOMEM, ENOMEM],
] as const)('a driver has no identity domain: %s', ([, failure, errno]) => {
  expect(askIdentity(failure)).toMatchObject({ errno, freed: 0, devices: [{ stage: 'alloc' }] });
});
