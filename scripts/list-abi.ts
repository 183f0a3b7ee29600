/**
 * docs/abi.md: every ioctl of /dev/iommu and /dev/vfio, its struct, and its state here.
 *
 * Numbers, structs and sizes come from the tables that serve the calls. Whether VFIO serves a command is asked of a
 * machine: what answers ENOTTY is not there. `--check` fails when the page is stale.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { ENOTTY } from '../src/base/errno.ts';
import { listening } from '../src/base/refuse.ts';
import { IOCTLS } from '../src/iommufd/main.ts';
import { Machine, type Program } from '../src/index.ts';
import { VFIO_COMMANDS } from '../src/machine/decode.ts';
import * as iommufd from '../src/uapi/index.ts';
import * as vfio from '../src/uapi/vfio.ts';

const OUT = 'docs/abi.md';
const EDU = '0000:00:04.0';

interface Row {
  readonly nr: number;
  readonly name: string;
  readonly struct: string;
  readonly size: string;
  readonly min: string;
  readonly since: string;
  readonly state: string;
}

/** What is served in part, and which part. */
const PARTLY: Readonly<Record<string, string>> = {
  IOMMU_GET_HW_INFO: 'partly: Intel VT-d, and the mock',
  IOMMU_HWPT_ALLOC: 'partly: data of Intel VT-d stage 1, and of the mock',
  IOMMU_HWPT_INVALIDATE: 'partly: Intel VT-d stage 1, and the mock',
  IOMMU_VIOMMU_ALLOC: 'partly: only the mock has vIOMMUs',
  IOMMU_VDEVICE_ALLOC: 'partly: only the mock has vIOMMUs',
  IOMMU_VEVENTQ_ALLOC: 'partly: only the mock has vIOMMUs',
  IOMMU_HW_QUEUE_ALLOC: 'partly: only the mock has hardware queues',
  IOMMU_TEST_CMD: 'done, with `--selftest`',
};

// --- /dev/iommu ---

const IOMMUFD_NAMES = new Map(
  Object.entries(iommufd)
    .filter(([name, value]) => typeof value === 'number' && /^IOMMU_[A-Z_]+$/.test(name))
    .map(([name, value]) => [value as number, name]),
);

function iommufdRows(): Row[] {
  return IOCTLS.map(({ command, struct, size, minSize, since }) => {
    const name = IOMMUFD_NAMES.get(command) ?? '?';
    const state = PARTLY[name] ?? 'done';
    return { nr: command, name, struct, size: `${size}`, min: `${minSize}`, since, state };
  });
}

// --- VFIO ---

const SINCE_3_6 = '3.6';
const SINCE: Readonly<Record<string, string>> = {
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: '3.12',
  VFIO_DEVICE_PCI_HOT_RESET: '3.12',
  VFIO_DEVICE_QUERY_GFX_PLANE: '4.16',
  VFIO_DEVICE_GET_GFX_DMABUF: '4.16',
  VFIO_DEVICE_IOEVENTFD: '4.17',
  VFIO_DEVICE_FEATURE: '5.7',
  VFIO_IOMMU_DIRTY_PAGES: '5.8',
  VFIO_DEVICE_BIND_IOMMUFD: '6.6',
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: '6.6',
  VFIO_DEVICE_DETACH_IOMMUFD_PT: '6.6',
};
const OF_CDEV = /_BIND_IOMMUFD|_IOMMUFD_PT/;

/** A file to ask, ready to serve every command of its kind. */
type Opened = (program: Program) => number;

const openType1 = (program: Program): { readonly container: number; readonly group: number } => {
  const container = program.open('/dev/vfio/vfio');
  const group = program.open('/dev/vfio/0');
  const fd = new Uint8Array(Int32Array.of(container).buffer);
  program.ioctl(group, vfio.VFIO_GROUP_SET_CONTAINER, fd);
  program.ioctl(container, vfio.VFIO_SET_IOMMU, vfio.VFIO_TYPE1v2_IOMMU);
  return { container, group };
};
const openContainer: Opened = (program) => openType1(program).container;
const openGroup: Opened = (program) => openType1(program).group;
const openDevice: Opened = (program) => {
  const name = new TextEncoder().encode(`${EDU}\0`);
  return program.ioctl(openType1(program).group, vfio.VFIO_GROUP_GET_DEVICE_FD, name);
};
const openCdev: Opened = (program) => {
  const device = program.open('/dev/vfio/devices/vfio0');
  const iommufd = program.open('/dev/iommu');
  const bind = vfio.vfio_device_bind_iommufd.make({ iommufd });
  program.ioctl(device, vfio.VFIO_DEVICE_BIND_IOMMUFD, bind);
  return device;
};
const openUnboundCdev: Opened = (program) => program.open('/dev/vfio/devices/vfio0');

const openCompat: Opened = (program) => {
  const fd = program.open('/dev/iommu');
  const ioas = iommufd.iommu_ioas_alloc.make();
  program.ioctl(fd, iommufd.IOMMU_IOAS_ALLOC, ioas);
  const set = { ioas_id: ioas.out_ioas_id, op: iommufd.IOMMU_VFIO_IOAS_SET };
  program.ioctl(fd, iommufd.IOMMU_VFIO_IOAS, iommufd.iommu_vfio_ioas.make(set));
  return fd;
};

interface Asked {
  readonly served: boolean;
  /** Smallest argsz, from the refusal of 0. */
  readonly min: string;
}

/** Send the command with a struct of zeros: an argsz that is too small is refused with the smallest one. */
function ask(open: Opened, command: number): Asked {
  const program = new Machine('preset:default').program();
  const fd = open(program);
  const { address, bytes } = program.alloc(4096);
  const words = new DataView(bytes.buffer, bytes.byteOffset);
  let min = 0;
  let served: boolean | undefined;
  for (;;) {
    let wanted = min;
    words.setUint32(0, min, true);
    const result = listening(
      ({ facts }) => (wanted = Number(facts['min'] ?? facts['minSize'] ?? wanted)),
      () => program.kernel.ioctl(fd, command, address),
    );
    served ??= result !== ENOTTY;
    if (wanted <= min) return { served, min: min === 0 ? '–' : String(min) };
    min = wanted;
  }
}

function vfioRows(kind: keyof typeof VFIO_COMMANDS, open: Opened, only = /./): Row[] {
  return [...VFIO_COMMANDS[kind]]
    .filter(([, { name }]) => only.test(name))
    .sort(([a], [b]) => a - b)
    .map(([nr, { name, layout }]) => {
      const asked = ask(name.includes('BIND_IOMMUFD') ? openUnboundCdev : open, nr);
      return {
        nr,
        name,
        struct: layout?.cName ?? '–',
        size: layout ? String(layout.size) : '–',
        min: asked.min,
        since: SINCE[name] ?? SINCE_3_6,
        state: asked.served ? served(name) : 'not: ENOTTY',
      };
    });
}

function served(name: string): string {
  return name === 'VFIO_DEVICE_FEATURE'
    ? `partly: features ${features().join(', ')}; others ENOTTY`
    : 'done';
}

/** Features of a vfio-pci device that a PROBE finds. */
function features(): string[] {
  const program = new Machine('preset:default').program();
  const device = openCdev(program);
  return Object.entries(vfio)
    .filter(([name]) => /^VFIO_DEVICE_FEATURE_(?!GET|SET|PROBE|MASK)/.test(name))
    .filter(([, index]) => {
      const probe = vfio.VFIO_DEVICE_FEATURE_PROBE | (index as number);
      const { address, bytes } = program.alloc(4096);
      bytes.set(vfio.vfio_device_feature.make({ flags: probe }).bytes);
      return program.kernel.ioctl(device, vfio.VFIO_DEVICE_FEATURE, address) === 0;
    })
    .map(([name]) => name.slice('VFIO_DEVICE_FEATURE_'.length));
}

// --- the page ---

const HEAD =
  '| number | command | struct | size | smallest | since | here |\n| --- | --- | --- | --- | --- | --- | --- |';

function section(title: string, about: string, rows: readonly Row[]): string {
  const lines = rows.map(
    ({ nr, name, struct, size, min, since, state }) =>
      `| 0x${nr.toString(16)} | ${name} | ${struct} | ${size} | ${min} | ${since} | ${state} |`,
  );
  return `## ${title}\n\n${about}\n\n${HEAD}\n${lines.join('\n')}\n`;
}

const compat = vfioRows('container', openCompat);
const page = [
  '# Every ioctl\n\nGenerated by `npx tsx scripts/list-abi.ts` from the tables that serve them. Do not edit.\n',
  'Sizes are bytes: of the struct as declared here, and the smallest that is accepted. Since: the first Linux with the command.\n',
  section('/dev/iommu', 'The struct begins with its size.', iommufdRows()),
  section(
    '/dev/vfio/vfio: a container',
    'With VFIO_TYPE1v2_IOMMU. The struct begins with argsz.',
    vfioRows('container', openContainer),
  ),
  section(
    '/dev/vfio/vfio served by iommufd, and /dev/iommu',
    'The same commands on an IOAS.',
    compat,
  ),
  section('/dev/vfio/GROUP', 'One group.', vfioRows('group', openGroup)),
  section('A device from a group', 'vfio-pci.', vfioRows('device', openDevice, /^(?!.*IOMMUFD)/)),
  section(
    '/dev/vfio/devices/vfioN',
    'The commands above, and:',
    vfioRows('device', openCdev, OF_CDEV),
  ),
].join('\n');

if (process.argv.includes('--check')) {
  const isFresh = existsSync(OUT) && readFileSync(OUT, 'utf8') === page;
  if (!isFresh) console.error(`${OUT} is stale: npx tsx scripts/list-abi.ts`);
  process.exitCode = isFresh ? 0 : 1;
} else {
  writeFileSync(OUT, page);
}
