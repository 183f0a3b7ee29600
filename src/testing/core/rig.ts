/**
 * What the tests of the core stand on: a machine with a mock driver, groups of any shape, and the call log in the
 * notation of core.md 11.5: `attach(U,A,K)=EINVAL`.
 */
import { isErrno } from '../../base/errno.ts';
import { KernelEnv } from '../../base/kernel-env.ts';
import type { KernelTrait } from '../../base/kernel-traits.ts';
import type { TraceEvent } from '../../base/events.ts';
import {
  createMockDriver,
  type MockDeviceKnobs,
  type MockDriver,
  type MockDriverKnobs,
} from '../../drivers/mock/index.ts';
import { Ram } from '../../pt/ram.ts';
import type { BusName, Device, DeviceConfig } from '../../core/contract/device.ts';
import type { Domain } from '../../core/contract/domain.ts';
import { pagingDomainAlloc } from '../../core/map/domain-alloc.ts';
import { groupAlloc, groupRefGet } from '../../core/group/group-ops.ts';
import type { IommuGroup } from '../../core/contract/group.ts';
import { IommuCore } from '../../core/contract/iommu-core.ts';
import { must } from '../base/must.ts';

export function newCore(traits: readonly KernelTrait[] = []): IommuCore {
  return new IommuCore(new KernelEnv(traits), new Ram(1 << 22));
}

const LOGGED = new Map([
  ['attach_dev', 'attach'],
  ['set_dev_pasid', 'set'],
  ['test_dev', 'test'],
]);

export interface CallLog {
  /** What was called since the last take(), in order. */
  take(): string[];
}

/** Listen for the calls that change or test what a device is on. Names of domains are those given with name(). */
export function listenCalls(core: IommuCore, nameOf: (name: string) => string): CallLog {
  let lines: string[] = [];
  core.env.trace.listen(({ event }) => {
    const line = lineOf(event, nameOf);
    if (line !== undefined) lines.push(line);
  });
  return {
    take() {
      const taken = lines;
      lines = [];
      return taken;
    },
  };
}

function lineOf(event: TraceEvent, nameOf: (name: string) => string): string | undefined {
  if (event.kind !== 'driver') return undefined;
  const op = LOGGED.get(event.op);
  if (op === undefined) return undefined;
  const parts = [nameOf(event.domain?.id ?? '–'), event.device?.id ?? '–'];
  if (event.pasid !== undefined) parts.push(String(event.pasid));
  if (event.old !== undefined) parts.push(nameOf(event.old.id));
  else if (event.pasid !== undefined) parts.push('–');
  return `${op}(${parts.join(',')})${event.result ? `=${event.result.name}` : ''}`;
}

export interface RigOptions {
  readonly traits?: readonly KernelTrait[];
  readonly driver?: MockDriverKnobs;
  /** Members of the group. Default: A and B, PASIDs and ATS, on PCI. */
  readonly members?: readonly (Partial<DeviceConfig> & {
    readonly name: string;
    readonly knobs?: Partial<MockDeviceKnobs>;
  })[];
  readonly bus?: BusName;
}

/** A group whose members are on a default domain D that is not the blocking domain K. */
export class Rig {
  readonly core: IommuCore;
  readonly mock: MockDriver;
  readonly devices: Device[];
  readonly group: IommuGroup;
  readonly log: CallLog;
  readonly #names = new Map<string, string>();

  constructor(options: RigOptions = {}) {
    this.core = newCore(options.traits);
    let shared: IommuGroup | undefined;
    this.mock = createMockDriver(this.core, {
      default: 'none',
      group: (dev) => {
        if (shared && shared.devices.length > 0) return groupRefGet(shared);
        const fresh = groupAlloc(dev.core);
        if (!isErrno(fresh)) shared = fresh;
        return fresh;
      },
      ...options.driver,
    });
    must(this.mock.registerInstance({ name: 'mock0' }));
    this.log = listenCalls(this.core, (name) => this.#names.get(name) ?? name);
    const members = options.members ?? [{ name: 'A' }, { name: 'B' }];
    const bus = options.bus ?? 'pci';
    this.devices = members.map(({ knobs, ...config }) =>
      this.mock.addDevice({
        config: { bus, pasidBits: 10, ats: true, ...config },
        ...(knobs && { knobs }),
      }),
    );
    const group = this.devices[0]?.iommuGroup;
    if (!group) throw new Error('the first device got no group');
    this.group = group;
    this.#nameDomains(group);
    this.log.take();
  }
  #nameDomains(group: IommuGroup): void {
    if (group.defaultDomain) this.call('D', group.defaultDomain);
    const { blockedDomain, identityDomain, releaseDomain } = this.mock.ops;
    if (blockedDomain) this.call(blockedDomain === group.defaultDomain ? 'D' : 'K', blockedDomain);
    if (identityDomain && identityDomain !== group.defaultDomain) this.call('I', identityDomain);
    if (releaseDomain && releaseDomain !== blockedDomain) this.call('R', releaseDomain);
  }
  get a(): Device {
    return this.devices[0]!;
  }
  get b(): Device {
    return this.devices[1]!;
  }
  /** Give a domain a short name in the log. */
  call(name: string, domain: Domain): Domain {
    this.#names.set(domain.name, name);
    return domain;
  }
  /** A new paging domain of the rig's driver, for user space. */
  domain(name: string, dev: Device = this.a): Domain {
    return this.call(name, must(pagingDomainAlloc(dev)));
  }
  nameOf(domain: Domain | undefined): string {
    return domain ? (this.#names.get(domain.name) ?? domain.name) : '–';
  }
  get on(): string {
    return this.nameOf(this.group.domain);
  }
  get warnings(): readonly string[] {
    return this.core.env.warnings;
  }
}
