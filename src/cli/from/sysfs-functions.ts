/**
 * The functions in a copy of sysfs: what is in `bus/pci/devices`, by `config`, `resource`, and the files with the ids. A
 * copy made by an ordinary user has 64 bytes of each configuration space.
 */
import { UserMistake } from '../user-mistake.ts';
import { configFacts, type ConfigFacts } from './config-bytes.ts';
import type { FoundBar, FoundFunction, FoundIds } from './found-function.ts';
import { SysfsDirectory } from './sysfs-directory.ts';
import { directRegionsOf, iommuOf } from './sysfs-iommus.ts';
import { resolvePath, type Tree } from './tree.ts';

/** Where the devices are in what people copy: the root of a file system, or sysfs alone. */
const PLACES = [
  ['sys', 'bus', 'pci', 'devices'],
  ['bus', 'pci', 'devices'],
];
const ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/;

/** In the order of their addresses. Throws UserMistake. */
export function functionsOfSysfs(tree: Tree): FoundFunction[] {
  for (const place of PLACES) {
    const devices = resolvePath(tree, place);
    const node = devices && tree.node(devices);
    if (!devices || node?.kind !== 'directory') continue;
    const addresses = node.names.filter((name) => ADDRESS.test(name)).sort();
    if (addresses.length === 0) {
      throw new UserMistake(`${tree.name}: no device is in ${place.join('/')}`);
    }
    return addresses.map((at) => functionAt(new SysfsDirectory(tree, [...devices, at]), at));
  }
  throw new UserMistake(`${tree.name}: there is no sys/bus/pci/devices in it`);
}

function functionAt(directory: SysfsDirectory, at: string): FoundFunction {
  const facts = configFacts(directory.bytes('config') ?? new Uint8Array());
  const { pin, bars, bridge, capabilities, sees } = facts ?? UNSEEN;
  return {
    ...idsIn(directory, facts),
    at,
    place: directory.name,
    pin,
    bars: barsOf(directory) ?? bars,
    bridge,
    capabilities,
    sees,
    group: directory.linkName('iommu_group'),
    directRegions: directRegionsOf(directory),
    iommu: iommuOf(directory),
    driver: directory.linkName('driver'),
    virtual: directory.has('physfn') || facts?.vendor === 0xffff,
  };
}

/** Where no configuration space can be read. */
const UNSEEN: Omit<ConfigFacts, keyof FoundIds> = {
  pin: 0,
  bars: [],
  bridge: undefined,
  capabilities: {},
  sees: { capabilities: false, extended: false },
};

/** Files of sysfs by the ids in them. Those of virtual functions are nowhere else. */
const ID_FILES: Readonly<Record<keyof FoundIds, string>> = {
  vendor: 'vendor',
  device: 'device',
  classCode: 'class',
  revision: 'revision',
  subsystemVendor: 'subsystem_vendor',
  subsystem: 'subsystem_device',
};
/** Older kernels have no file of the revision. */
const NOT_NEEDED: Partial<FoundIds> = { revision: 0, subsystemVendor: 0, subsystem: 0 };

function idsIn(directory: SysfsDirectory, facts: ConfigFacts | undefined): FoundIds {
  const id = (key: keyof FoundIds): number => {
    const file = ID_FILES[key];
    const number = directory.number(file) ?? facts?.[key] ?? NOT_NEEDED[key];
    if (number !== undefined) return number;
    throw new UserMistake(`${directory.name}: there is no ${file} and no config that can be read`);
  };
  return {
    vendor: id('vendor'),
    device: id('device'),
    classCode: id('classCode'),
    revision: id('revision'),
    subsystemVendor: id('subsystemVendor'),
    subsystem: id('subsystem'),
  };
}

/** Flags of a resource (Linux, ioport.h). */
const IO = 0x100n;
const PREFETCHABLE = 0x2000n;
const WIDE = 0x10_0000n;

/** Undefined: there is no `resource`. */
function barsOf(directory: SysfsDirectory): FoundBar[] | undefined {
  const text = directory.text('resource');
  if (text === undefined) return undefined;
  const lines = text.split('\n').slice(0, 6);
  return lines.flatMap((line, index): FoundBar[] => {
    if (line === '') return [];
    const match = /^(0x[0-9a-f]{1,16}) (0x[0-9a-f]{1,16}) (0x[0-9a-f]{1,16})$/.exec(line);
    if (!match) throw directory.wrong('resource', index + 1, line);
    const [start = 0n, last = 0n, flags = 0n] = match.slice(1).map(BigInt);
    if (flags === 0n || last <= start) return [];
    const isIo = (flags & IO) !== 0n;
    const kind = isIo ? 'io' : (flags & WIDE) !== 0n ? 'mem64' : 'mem32';
    const prefetchable = !isIo && (flags & PREFETCHABLE) !== 0n;
    return [{ index, kind, prefetchable, size: Number(last - start + 1n) }];
  });
}
