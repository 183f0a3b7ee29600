import { describe, expect, test } from 'vitest';
import { Bug } from '../../base/bug.ts';
import {
  EBUSY,
  EEXIST,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOSYS,
  EOPNOTSUPP,
  ERANGE,
  isErrno,
} from '../../base/errno.ts';
import { must } from '../../testing/base/must.ts';
import { createMachine } from '../create-machine.ts';
import type { DeviceDescription, MachineInput } from '../description/description.ts';
import { enableSriov } from './sriov.ts';

const PF = '0000:01:00.0';
const VF0 = '0000:01:10.0';
const VF1 = '0000:01:10.1';
const SYS = '/sys/bus/pci/devices';
type Device = Partial<DeviceDescription> & { type: string; at: string };

/** A machine with a physical function of 4 virtual ones, bound to `driver`. */
function boot(driver = 'igb', others: readonly Device[] = []) {
  const devices: MachineInput['devices'] = [
    {
      type: 'root-port',
      at: '0000:00:01.0',
      devices: [{ type: 'generic', at: PF, driver, options: { vfs: 4 } }, ...others],
    },
  ];
  const made = createMachine({ devices });
  if ('problems' in made) throw new Bug(JSON.stringify(made.problems));
  const { machine } = made;
  const program = machine.program();
  const echo = (text: string, path: string) => {
    const fd = program.open(path, { read: false });
    if (isErrno(fd)) return fd;
    const rc = program.write(fd, new TextEncoder().encode(text));
    expect(program.close(fd)).toBeUndefined();
    return rc;
  };
  const text = (path: string): string => {
    const fd = must(program.open(path, { write: false }));
    const bytes = new Uint8Array(4096);
    const n = must(program.read(fd, bytes, 0n));
    expect(program.close(fd)).toBeUndefined();
    return new TextDecoder().decode(bytes.subarray(0, n));
  };
  const ls = (path: string): string[] => must(program.readdir(path));
  const numVfs = (count: number | string) => echo(String(count), `${SYS}/${PF}/sriov_numvfs`);
  const pf = machine.pci.device(PF)!;
  return { machine, program, echo, text, ls, numVfs, pf };
}

describe('sriov_numvfs', () => {
  test('shows virtual functions with their links, and hides them', () => {
    const { machine, program, text, ls, numVfs } = boot();
    expect(numVfs(2)).toBe(1);
    expect(text(`${SYS}/${PF}/sriov_numvfs`)).toBe('2\n');
    expect(ls(SYS).filter((name) => name.startsWith('0000:01'))).toEqual([PF, VF0, VF1]);
    expect(program.realpath(`${SYS}/${PF}/virtfn1`)).toBe(
      `/sys/devices/pci0000:00/0000:00:01.0/${VF1}`,
    );
    expect(program.realpath(`${SYS}/${VF1}/physfn`)).toBe(
      `/sys/devices/pci0000:00/0000:00:01.0/${PF}`,
    );
    expect([text(`${SYS}/${VF0}/vendor`), text(`${SYS}/${VF0}/device`)]).toEqual([
      '0x1b36\n',
      '0x0006\n',
    ]);
    expect(machine.pci.device(VF0)!.dev.iommuGroup).not.toBe(
      machine.pci.device(PF)!.dev.iommuGroup,
    );
    expect(numVfs(0)).toBe(1);
    expect(ls(SYS).filter((name) => name.startsWith('0000:01'))).toEqual([PF]);
    expect(ls(`${SYS}/${PF}`)).not.toContain('virtfn0');
    machine.close();
  });
  test('what the capability says can be read', () => {
    const { text } = boot();
    const values = ['totalvfs', 'offset', 'stride', 'vf_device', 'drivers_autoprobe'];
    expect(values.map((name) => text(`${SYS}/${PF}/sriov_${name}`).trim())).toEqual([
      '4',
      '128',
      '1',
      '6',
      '1',
    ]);
  });
  test.for([
    ['x', EINVAL],
    ['-1', EINVAL],
    ['09', EINVAL],
    ['5', ERANGE],
    ['70000', ERANGE],
    ['3', EBUSY],
  ] as const)('%s while two are there is refused', ([count, errno]) => {
    const { numVfs, ls } = boot();
    expect(numVfs('0x2\n')).toBe(4);
    expect(numVfs(count)).toBe(errno);
    expect(ls(`${SYS}/${PF}`)).toContain('virtfn1');
  });
  test('the same number again is no change', () => {
    const { machine, numVfs } = boot();
    must(numVfs(2));
    const before = machine.pci.device(VF0);
    expect(numVfs(2)).toBe(1);
    expect(machine.pci.device(VF0)).toBe(before);
  });
});

describe('drivers and sriov_numvfs', () => {
  test.for(['none', 'pci-stub'])('it needs a driver that can: %s cannot', (driver) => {
    expect(boot(driver).numVfs(1)).toBe(ENOENT);
  });
  test('vfio-pci does it when its parameter says so', () => {
    const { echo, numVfs, machine } = boot('vfio-pci');
    expect(numVfs(1)).toBe(ENOENT);
    expect(echo('Y', '/sys/module/vfio_pci/parameters/enable_sriov')).toBe(1);
    expect(numVfs(1)).toBe(1);
    expect(machine.pci.device(VF0)!.driver?.name).toBe('vfio-pci');
  });

  test('a driver that lets the function go takes its virtual ones along', () => {
    const { machine, echo, numVfs, ls } = boot();
    must(numVfs(4));
    expect(echo(PF, '/sys/bus/pci/drivers/igb/unbind')).toBe(PF.length);
    expect(ls(SYS)).not.toContain(VF0);
    machine.close();
  });
  test('where another function stands, none appears', () => {
    const other = { type: 'generic', at: VF1, driver: 'none', vfOf: PF };
    const { numVfs, pf } = boot('igb', [other]);
    expect(numVfs(2)).toBe(EEXIST);
    expect([pf.fn.virtualFunctions, numVfs(1)]).toEqual([0, 1]);
  });
  test('a driver that wants more than there can be is refused', () => {
    const { machine, pf } = boot();
    expect(enableSriov(machine.pci, pf, 5)).toBe(EINVAL);
  });
});

describe('sriov_drivers_autoprobe', () => {
  test('0 keeps drivers from virtual functions, but for one that is named', () => {
    const { machine, echo, numVfs } = boot('vfio-pci');
    must(echo('Y', '/sys/module/vfio_pci/parameters/enable_sriov'));
    must(echo('1b36 0006', '/sys/bus/pci/drivers/pci-stub/new_id'));
    must(echo('0', `${SYS}/${PF}/sriov_drivers_autoprobe`));
    must(numVfs(1));
    must(echo(VF0, '/sys/bus/pci/drivers/vfio-pci/unbind'));
    must(echo('\n', `${SYS}/${VF0}/driver_override`));
    expect(echo(VF0, '/sys/bus/pci/drivers/pci-stub/bind')).toBe(ENODEV);
    must(echo('1', `${SYS}/${PF}/sriov_drivers_autoprobe`));
    expect(echo(VF0, '/sys/bus/pci/drivers/pci-stub/bind')).toBe(VF0.length);
    expect(machine.pci.device(VF0)!.driver?.name).toBe('pci-stub');
  });
});

describe('a virtual function', () => {
  test('reads as nobody in its own configuration space: a scan does not find it', () => {
    const { machine, numVfs, echo } = boot();
    must(numVfs(1));
    const { fn } = machine.pci.device(VF0)!;
    expect([fn.readConfig(0, 4), fn.readConfig(0x10, 4)]).toEqual([0xffff_ffff, 0]);
    must(echo('1', `${SYS}/${VF0}/remove`));
    must(echo('1', '/sys/bus/pci/rescan'));
    expect(machine.pci.device(VF0)).toBeUndefined();
    expect(numVfs(0)).toBe(1);
    machine.close();
  });
  test('has its piece of the BARs that the physical function has for all', () => {
    const { machine, numVfs, pf, text } = boot();
    must(numVfs(2));
    const [a, b] = [VF0, VF1].map((at) => machine.pci.device(at)!.fn.bars[0]!);
    expect([b!.address - a!.address, a!.address]).toEqual([
      0x4000,
      pf.fn.sriov!.bars.get(0)!.address,
    ]);
    a!.window.store(0x10, 4, 0x1234n);
    expect([a!.window.load(0x10, 4), b!.window.load(0x10, 4)]).toEqual([0x1234n, 0n]);
    const lines = text(`${SYS}/${PF}/resource`).split('\n');
    expect(lines[7]).toBe(
      [a!.address, a!.address + 4 * 0x4000 - 1, 0x14_0204]
        .map((word) => `0x${word.toString(16).padStart(16, '0')}`)
        .join(' '),
    );
  });
  test('answers while VF Enable and VF MSE of the physical one are set', () => {
    const { machine, numVfs, pf } = boot();
    must(numVfs(1));
    const { fn } = machine.pci.device(VF0)!;
    const bar = fn.bars[0]!.window;
    const control = pf.fn.sriov!.at + 8;
    expect(bar.load(0, 4)).toBe(0n);
    pf.fn.writeConfig(control, 2, 1);
    expect([fn.present, bar.load(0, 4)]).toEqual([true, 0xffff_ffffn]);
    pf.fn.writeConfig(control, 2, 0);
    expect([fn.present, fn.busMaster, fn.readConfig(4, 2)]).toEqual([false, false, 0xffff]);
  });
});

describe('virtual functions', () => {
  test('cannot be more or fewer without going first', () => {
    const { numVfs, pf } = boot();
    must(numVfs(2));
    pf.fn.writeConfig(pf.fn.sriov!.at + 0x10, 2, 4);
    expect([pf.fn.sriov!.numVfs, pf.fn.virtualFunctions]).toEqual([2, 2]);
  });
  test('go and come with a reset of the physical one, and have forgotten everything', () => {
    const { machine, numVfs, pf } = boot();
    must(numVfs(1));
    const { fn } = machine.pci.device(VF0)!;
    fn.writeConfig(4, 2, 4);
    fn.bars[0]!.window.store(0, 4, 7n);
    expect(pf.fn.resetFunction()).toBeUndefined();
    expect([fn.present, fn.busMaster, fn.bars[0]!.window.load(0, 4)]).toEqual([true, false, 0n]);
  });
  test('are reached by DMA of others at their place, as long as they are there', () => {
    const { machine, numVfs, pf } = boot();
    must(numVfs(1));
    const { pfn } = machine.pci.device(VF0)!.fn.bars[0]!.window;
    expect(machine.memory.describe(pfn)).toBe(`${VF0} BAR 0`);
    must(numVfs(0));
    expect(machine.memory.describe(pfn)).toBeUndefined();
    expect(pf.fn.virtualFunctions).toBe(0);
  });
});

test('a function without the capability has none to show', () => {
  const { machine } = boot('igb', []);
  const port = machine.pci.device('0000:00:01.0')!;
  expect(enableSriov(machine.pci, port, 1)).toBe(ENOSYS);
});

describe('alternative routing-ID', () => {
  const ARI = 0x0e;
  const port = (at: string, behind: object[]) => ({ type: 'root-port', at, devices: behind });
  const machineWith = (devices: object[]) => {
    const made = createMachine({ devices: devices });
    if ('problems' in made) throw new Bug(JSON.stringify(made.problems));
    const program = made.machine.program();
    const enabled = (name: string): string => {
      const fd = must(program.open(`${SYS}/${name}/ari_enabled`, { write: false }));
      const bytes = new Uint8Array(8);
      return new TextDecoder().decode(bytes.subarray(0, must(program.read(fd, bytes, 0n)))).trim();
    };
    return { machine: made.machine, enabled };
  };
  test('is on behind a port whose device has virtual functions, and nowhere else', () => {
    const { machine, enabled } = machineWith([
      port('0000:00:01.0', [{ type: 'igb', at: PF }]),
      port('0000:00:02.0', [{ type: 'nvme', at: '0000:02:00.0' }]),
      { type: 'igb', at: '0000:00:05.0' },
    ]);
    expect([PF, '0000:02:00.0', '0000:00:05.0', '0000:00:01.0'].map(enabled)).toEqual([
      ...['1', '0', '0', '0'],
    ]);
    expect(machine.pci.device(PF)!.fn.config.extendedCapability(ARI)).toBeGreaterThan(0);
  });
  test('virtual functions have the capability, and SR-IOV says that the hierarchy can', () => {
    const { machine, pf, numVfs } = boot();
    must(numVfs(2));
    expect(machine.pci.device(VF0)!.fn.config.extendedCapability(ARI)).toBeGreaterThan(0);
    const at = pf.sriov!.hardware.at;
    expect(pf.fn.readConfig(at + 8, 2) & 0x10).toBe(0x10);
  });
  test('vectors of a virtual function cannot be counted by hand', () => {
    const { echo, numVfs } = boot();
    must(numVfs(1));
    const file = `${SYS}/${VF0}/sriov_vf_msix_count`;
    expect([echo('4', file), echo('four', file)]).toEqual([EOPNOTSUPP, EINVAL]);
  });
});
