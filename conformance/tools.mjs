// `npm run conformance -- tools`: the administrator's programs of Debian, unmodified: pciutils, driverctl, udev, lshw, kmod.
// A row is a machine, a program and what it says; the program may complain only where the row says so.
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { needPackages } from './debian.mjs';
import { reportRows } from './reports.mjs';
import { runRows } from './rows.mjs';

const SOFTIOMMU = new URL('../dist/cli/main.js', import.meta.url).pathname;
const PRESETS = readdirSync(new URL('../test/golden/topology', import.meta.url))
  .map((name) => name.replace(/\.txt$/, ''))
  .sort();
const NEEDED = {
  pciutils: 'lspci, setpci',
  driverctl: 'driverctl, a shell script',
  udev: 'udevadm, which driverctl needs too',
  lshw: 'lshw',
  kmod: 'modprobe, lsmod, modinfo',
};
/** A row that is not over by then has failed. */
const LIMIT_MS = 60_000;

/** One device of every type, and what lspci must find of it: its capabilities, regions and class. */
const DEVICES = {
  edu: ['00ff', '[1234:11e8]', ['MSI']],
  'ats-testdev': ['00ff', '[1234:11e9]', ['Express', 'Address Translation', 'Page Request']],
  'pci-testdev': ['00ff', '[1b36:0005]', [], 'I/O ports at'],
  'dma-echo': ['0880', '[1234:ec40]', ['MSI', 'Express']],
  dsa: ['0880', '[8086:0b25]', ['Power Management', 'MSI-X', 'Express']],
  ioat: ['0880', '[8086:2021]', ['Power Management', 'MSI-X', 'Express']],
  igb: ['0200', '[8086:10c9]', ['MSI', 'MSI-X', 'Express', 'Single Root I/O Virtualization']],
  nvme: ['0108', '[1234:4e56]', ['Power Management', 'MSI-X', 'Express']],
  'virtio-blk': ['0100', '[1af4:1042]', ['MSI-X', 'VirtIO: CommonCfg', 'VirtIO: Notify']],
  'virtio-net': ['0200', '[1af4:1041]', ['MSI-X', 'VirtIO: ISR', 'VirtIO: DeviceCfg']],
  generic: ['00ff', '[1b36:0005]', ['Power Management', 'MSI-X', 'Express']],
};
const TYPES = Object.keys(DEVICES);
const bdf = (type) => `0000:00:${(TYPES.indexOf(type) + 4).toString(16).padStart(2, '0')}.0`;
const slot = (type) => bdf(type).slice(5);
const ALL = JSON.stringify({
  kernel: { with: ['vfio-denylist-off'] },
  devices: TYPES.map((type) => ({ type, at: bdf(type) })),
});
const [EDU, IGB] = [bdf('edu'), bdf('igb')];
const sysfs = (at) => `/sys/bus/pci/devices/${at}`;
const shell = (...lines) => ['bash', '-c', lines.join('\n')];
const driverctl = (...words) => `driverctl --nosave ${words.join(' ')}`;

/** The paragraph of lspci -v about one function. */
const paragraph = (out, at) => out.split(/\n\n/).find((part) => part.trimStart().startsWith(at));
/** What every paragraph of lspci -vvv has, and nothing it calls wrong. */
const wellFormed = (out) => {
  const wrong = /^.*(<chain|<unassigned>|\[invalid|<\?>|!!!|Unknown header).*$/m.exec(out)?.[0];
  return wrong && `it says '${wrong.trim()}'`;
};
const everyDevice = (out) => {
  for (const [type, [, , capabilities, region = 'Memory at']] of Object.entries(DEVICES)) {
    const own = paragraph(out, slot(type)) ?? '';
    const lines = own.split('\n');
    const has = (...words) => lines.some((line) => words.every((word) => line.includes(word)));
    if (!has('Region ', ': Memory at') || !has('Region ', region, '[size='))
      return `${type}: no regions`;
    if (!has('Kernel driver in use: vfio-pci')) return `${type}: no driver`;
    if (!has('IOMMU group: ')) return `${type}: no group`;
    const missing = capabilities.find((name) => !has('Capabilities: [', name));
    if (missing) return `${type}: no capability ${missing}`;
  }
  return wellFormed(out);
};
const numbers = (out) => {
  const missing = TYPES.find((type) => {
    const [classCode, ids] = DEVICES[type];
    const line = out.split('\n').find((text) => text.startsWith(slot(type))) ?? '';
    return !line.includes(`[${classCode}]: `) || !line.includes(ids);
  });
  return missing && `${missing}: another line, or none`;
};
/** 256 lines of 16 bytes for what has extended space, 16 for what has not, and none for what did not answer. */
const wholeSpaces = (out) => {
  const wrong = TYPES.find((type) => {
    const lines = (paragraph(out, slot(type)) ?? '').trim().split('\n').slice(1);
    const express = DEVICES[type][2].includes('Express') || type.startsWith('virtio');
    return (
      lines.length !== (express ? 256 : 16) || lines.every((line) => / (ff ?){16}$/.test(line))
    );
  });
  return wrong && `${wrong}: not its whole configuration space`;
};
/** In order, one after the other. */
const inOrder = (...words) => {
  return (out) => {
    let at = 0;
    for (const each of words) {
      const found = out.indexOf(each, at);
      if (found < 0) return `no '${each}' after ${at} characters of its output`;
      at = found + each.length;
    }
    return undefined;
  };
};

const onPreset = (preset) => ({
  name: `lspci -vvv, -xxxx, -t: preset ${preset}`,
  machine: `preset:${preset}`,
  program: shell('set -e', 'lspci -vvv', 'lspci -xxxx', 'lspci -t'),
  says: ['-[0000:00]', 'Kernel driver in use: vfio-pci'],
  check: wellFormed,
});
const BAD = 'driverctl: failed to bind device';

const ROWS = [
  { name: 'lspci -nn: every device (J1)', program: ['lspci', '-nn'], check: numbers },
  {
    name: 'lspci -vvv: every device (J1)',
    as: 'root',
    program: ['lspci', '-vvv'],
    check: everyDevice,
  },
  {
    name: 'lspci -vvv: without the right to read capabilities',
    as: 'nobody',
    program: ['lspci', '-vvv', '-s', slot('igb')],
    says: ['Capabilities: <access denied>', 'Kernel driver in use: vfio-pci'],
  },
  {
    name: 'lspci -xxxx: every device',
    as: 'root',
    program: ['lspci', '-xxxx'],
    check: wholeSpaces,
  },
  {
    name: 'lspci -t: every device',
    program: ['lspci', '-t'],
    check: inOrder('-[0000:00]-', ...TYPES.map((type) => slot(type).slice(3))),
  },
  ...PRESETS.map(onPreset),
  {
    name: 'setpci: registers by name, and written (J2)',
    program: shell(
      `setpci -s ${EDU} VENDOR_ID DEVICE_ID COMMAND.w`,
      `setpci -s ${EDU} COMMAND=4:4 && setpci -s ${EDU} COMMAND`,
      `setpci -s ${EDU} COMMAND=0:4 && setpci -s ${EDU} COMMAND`,
    ),
    is: '1234\n11e8\n0002\n0006\n0002\n',
  },
  {
    name: 'setpci: registers of capabilities (J2)',
    as: 'root',
    program: ['setpci', '-s', IGB, 'CAP_EXP+2.w', 'CAP_MSIX+2.w', 'ECAP_SRIOV+e.w'],
    is: '0002\n0009\n0008\n',
  },
  {
    name: 'setpci: a capability there is not (J2)',
    program: ['setpci', '-s', IGB, 'ECAP_AER.l'],
    complains: ['Extended capability 0001 not found'],
    exit: 1,
  },
  {
    name: 'driverctl: list-devices, list-overrides',
    program: shell('driverctl list-devices', 'driverctl list-overrides'),
    check: inOrder(
      ...TYPES.map((type) => `${bdf(type)} vfio-pci [*]\n`),
      ...TYPES.map((type) => `${bdf(type)} vfio-pci\n`),
    ),
  },
  {
    name: 'driverctl: set-override to another driver and back',
    program: shell(
      'set -e',
      driverctl('set-override', IGB, 'igb'),
      `driverctl list-overrides | grep ${IGB}`,
      driverctl('set-override', IGB, 'none'),
      `driverctl list-devices | grep ${IGB}`,
      driverctl('set-override', IGB, 'vfio-pci'),
      `driverctl list-devices | grep ${IGB}`,
      'ls /dev/vfio',
    ),
    is: `${IGB} igb\n${IGB} (none) [*]\n${IGB} vfio-pci [*]\n${[...TYPES.keys(), 'devices', 'vfio'].sort().join('\n')}\n`,
  },
  {
    // vfio-pci takes nothing by itself, so that no driver is found for what was its own; the override is gone all the same.
    name: 'driverctl: unset-override',
    program: shell(
      driverctl('unset-override', EDU),
      'echo exit $?',
      `driverctl list-devices | grep ${EDU}`,
    ),
    is: `exit 1\n${EDU} (none)\n`,
    complains: [BAD],
  },
  {
    name: 'driverctl: a driver there is not',
    program: shell(driverctl('set-override', EDU, 'nosuch')),
    complains: ['no such module: nosuch'],
    exit: 1,
  },
  {
    name: 'driverctl: pci-stub, which is built in',
    program: shell(
      driverctl('set-override', EDU, 'pci-stub'),
      `driverctl list-devices | grep ${EDU}`,
    ),
    is: `${EDU} pci-stub [*]\n`,
  },
  {
    name: 'udevadm info --attribute-walk',
    program: ['udevadm', 'info', '--attribute-walk', '--path', sysfs(IGB)],
    check: inOrder(
      `looking at device '/devices/pci0000:00/${IGB}'`,
      ...[`KERNEL=="${IGB}"`, 'SUBSYSTEM=="pci"', 'DRIVER=="vfio-pci"', 'ATTR{class}=="0x020000"'],
      ...['ATTR{device}=="0x10c9"', 'ATTR{driver_override}=="vfio-pci"', 'ATTR{vendor}=="0x8086"'],
      "looking at parent device '/devices/pci0000:00'",
    ),
  },
  {
    name: 'udevadm info --query=all',
    program: ['udevadm', 'info', '--query=all', '--path', sysfs(IGB)],
    says: [
      `P: /devices/pci0000:00/${IGB}`,
      ...['E: SUBSYSTEM=pci', 'E: DRIVER=vfio-pci', 'E: PCI_ID=8086:10C9'],
      ...[`E: PCI_SLOT_NAME=${IGB}`, 'E: MODALIAS=pci:v00008086d000010C9'],
    ],
  },
  {
    name: 'udevadm info: by the name of the group and of /dev/vfio/vfio',
    program: shell(
      'udevadm info --query=path --name /dev/vfio/0',
      'udevadm info --query=path --name /dev/vfio/vfio',
    ),
    is: '/devices/virtual/vfio/0\n/devices/virtual/misc/vfio\n',
  },
  {
    name: 'udevadm info -e: lists every device, and its VFIO device',
    program: ['udevadm', 'info', '-e'],
    check: inOrder(
      ...TYPES.flatMap((type, n) => [
        `P: /devices/pci0000:00/${bdf(type)}\n`,
        `P: /devices/pci0000:00/${bdf(type)}/vfio-dev/vfio${n}\n`,
      ]),
    ),
  },
  {
    name: 'lshw: generic, storage and network',
    as: 'root',
    program: ['lshw', '-quiet', '-class', 'generic', '-class', 'storage', '-class', 'network'],
    check: (out) => {
      const missing = TYPES.find((type) => !out.includes(`bus info: pci@${bdf(type)}\n`));
      if (missing) return `${missing} is not there`;
      return inOrder(
        ...[`pci@${IGB}\n`, 'capabilities: pm msi msix pciexpress', 'driver=vfio-pci'],
      )(out);
    },
  },
  {
    name: 'lshw: bridges',
    as: 'root',
    machine: 'preset:storage',
    program: ['lshw', '-quiet', '-class', 'bridge'],
    says: ['bus info: pci@0000:00:01.0', 'bus info: pci@0000:02:03.0', 'driver=pcieport'],
    check: (out) => (/ioport:0\(/.test(out) ? 'a bridge passes on ports nobody has' : undefined),
  },
  {
    name: 'modprobe, lsmod',
    program: shell('set -e', 'modprobe vfio-pci', 'lsmod'),
    says: ['vfio_pci_core', 'vfio_iommu_type1', 'iommufd'],
  },
];

export async function tools(options) {
  if (!needPackages(NEEDED, options.install)) return 2;
  const judge = async (row, user) => ({ reason: await outcome(row, user, options) });
  return reportRows(await runRows('tools', ROWS, judge, options), options);
}

/** Undefined, or the first reason why not. */
async function outcome(row, user, options) {
  const home = mkdtempSync(join(tmpdir(), 'conformance-tools-'));
  try {
    chmodSync(home, 0o755);
    const file = join(home, 'machine.json');
    writeFileSync(file, ALL);
    const { out, complaint, exit } = await run(row, row.machine ?? file, user, options);
    const { complains = [], says = [] } = row;
    const silent = complains.find((words) => !complaint.includes(words));
    if (silent) return `it does not complain '${silent}', but '${complaint.trim()}'`;
    if (complains.length === 0 && complaint !== '')
      return `it complains: ${complaint.trim().split('\n', 1)[0]}`;
    const missing = says.find((words) => !out.includes(words));
    if (missing) return `it does not say '${missing}'`;
    if (row.is !== undefined && out !== row.is) return `it says ${JSON.stringify(out)}`;
    if (exit !== (row.exit ?? 0)) return `exit ${exit}`;
    return row.check?.(out);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

function run({ program }, machine, user, options) {
  const mode = options.mode ? ['--mode', options.mode] : [];
  const args = [SOFTIOMMU, 'run', ...mode, '--machine', machine, '--', ...program];
  const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
  return new Promise((resolve) => {
    const env = { ...process.env, PATH, HOME: '/tmp', LC_ALL: 'C' };
    const how = { stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...user.spawn, env };
    const child = spawn(process.execPath, args, how);
    const limit = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), LIMIT_MS);
    let [out, complaint] = ['', ''];
    child.stdout.on('data', (data) => (out += data));
    child.stderr.on('data', (data) => (complaint += data));
    child.on('close', (code, signal) => {
      clearTimeout(limit);
      resolve({ out, complaint, exit: signal ?? code });
    });
  });
}
