// `npm run conformance -- dpdk`: Debian's DPDK, unmodified, on the devices it has drivers for.
// A row is a machine, a program, what is typed and when, and what its output must say.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { needPackages } from './debian.mjs';

const SOFTIOMMU = new URL('../dist/cli/main.js', import.meta.url).pathname;
const NEEDED = {
  dpdk: 'testpmd, dpdk-test, dpdk-devbind.py',
  pciutils: 'dpdk-devbind.py asks lspci',
};
/** A row that is not over by then has failed. */
const LIMIT_MS = 120_000;

const [A, B] = ['0000:00:04.0', '0000:00:05.0'];
const igb = (at, wire) =>
  `  - { type: igb, at: '${at}', options: { wire: '${wire}', mac: '02:00:00:00:00:0${at[9]}' } }`;
const machine = (...devices) => ['devices:', ...devices, ''].join('\n');
const SELF = machine(igb(A, 'self'));
const SINK = machine(igb(A, 'sink'));
const PAIR = machine(igb(A, B), igb(B, 'sink'));

const virtio = (at, wire, packed = false) =>
  `  - { type: virtio-net, at: '${at}', options: { wire: '${wire}', mac: '02:00:00:00:00:${at.slice(8, 10)}', packed: ${packed} } }`;
const VIRTIO_SELF = machine(virtio(A, 'self'));
const VIRTIO_PAIR = machine(virtio(A, B), virtio(B, 'sink'));
const VIRTIO_PACKED = machine(virtio(A, B, true), virtio(B, 'sink', true));

/** EAL without huge pages: memory is one area, and its addresses are those of the program. */
const eal = (...devices) => [
  ...['--no-huge', '-m', '128', '--iova-mode=va', '-l', '0,1', '--no-telemetry'],
  ...['--file-prefix', `softiommu${process.pid}`, ...devices.flatMap((at) => ['-a', at])],
];
const testpmd = (devices, ...more) => [
  // Lines as they are written, though nobody looks at a terminal.
  ...['stdbuf', '-oL', 'dpdk-testpmd'],
  ...eal(...devices),
  '--',
  ...['--total-num-mbufs=4096', '--no-mlockall', '--nb-cores=1', ...more],
];
/** A virtual function of the first device is switched on, and the program driven with both. */
const VF = '0000:00:14.0';
const TOKEN = '14d63f20-8445-11ea-8900-1f9ce7d5650d';
const withVirtual = (program) => [
  'sh',
  '-ec',
  `echo Y > /sys/module/vfio_pci/parameters/enable_sriov
   echo 1 > /sys/bus/pci/devices/${A}/sriov_numvfs
   exec "$@"`,
  'sh',
  ...program,
];
/** After these words of the output, and a while, this is typed, or this signal sent. */
const when = (words, seconds, { type, signal }) => ({ words, seconds, type, signal });
const ENTER = [when('Press enter to exit', 2, { type: '' })];
const commands = (...lines) =>
  lines.map(([type, seconds = 0.3]) => when('testpmd> ', seconds, { type }));

const count = (text, name) => Number(new RegExp(`${name}: *(\\d+)`).exec(text)?.[1] ?? NaN);
/** Frames went on, and none was dropped. */
const forwarded = (out) => {
  const statistics = out.split('Accumulated forward statistics')[1] ?? '';
  const [rx, tx] = [count(statistics, 'RX-packets'), count(statistics, 'TX-packets')];
  const dropped = count(statistics, 'RX-dropped') + count(statistics, 'TX-dropped');
  if (!(rx > 64 && tx > 64)) return `RX-packets ${rx}, TX-packets ${tx}`;
  return dropped === 0 ? undefined : `${dropped} dropped`;
};
const nicStatistics = (out) => {
  const [, statistics = ''] = out.split('NIC statistics for port 0');
  const [packets, octets] = [count(statistics, 'RX-packets'), count(statistics, 'RX-bytes')];
  if (!(packets > 64)) return `RX-packets ${packets}`;
  // The driver reads the two counters one after the other, and frames go on meanwhile.
  return Math.abs(octets / 64 - packets) < 1024 ? undefined : `${octets} bytes, ${packets} packets`;
};

/** DPDK's own test of what copies, on the devices and on its software model, which wants a core of its own. */
const dmadev = (...devices) => [
  ...['env', 'DPDK_TEST=dmadev_autotest', 'dpdk-test'],
  ...['--no-huge', '-m', '64', '--iova-mode=va', '-l', '0,1', '--no-telemetry'],
  ...['--file-prefix', `softiommu${process.pid}`, ...devices.flatMap((at) => ['-a', at])],
];
const IOAT = machine(`  - { type: ioat, at: '${A}' }`, `  - { type: ioat, at: '${B}' }`);
const IOAT_ERRORS = machine(
  `  - { type: ioat, at: '${A}', options: { cbver: 0x34, latency_us: 2000 } }`,
);
const DSA = `kernel: { with: [vfio-denylist-off] }\n${machine(`  - { type: dsa, at: '${A}' }`)}`;
const DMADEV_SAYS = [
  'Ops submitted: 85120\tOps completed: 85120\tErrors: 0',
  'Ops completed: 65536',
];

const ROWS = [
  {
    name: 'devbind: dma',
    machine: IOAT,
    program: ['dpdk-devbind.py', '--status-dev', 'dma'],
    says: ['DMA devices using DPDK-compatible driver', A, 'drv=vfio-pci'],
  },
  {
    name: 'dmadev_autotest: ioat',
    machine: IOAT,
    program: dmadev(A),
    says: [`### Test dmadev instance 0 [${A}]`, ...DMADEV_SAYS, 'Running fill Tests', 'Test OK'],
  },
  {
    // Its driver counts on a device that does not end the rest while it asks for what failed.
    name: 'dmadev_autotest: ioat, with errors',
    machine: IOAT_ERRORS,
    program: dmadev(A),
    says: [`instance 0 [${A}]`, ...DMADEV_SAYS, 'Running error handling Tests', 'Test OK'],
  },
  {
    name: 'dmadev_autotest: two ioat',
    machine: IOAT,
    program: dmadev(A, B),
    says: [`instance 0 [${A}]`, `instance 1 [${B}]`, ...DMADEV_SAYS, 'Test OK'],
  },
  {
    name: 'dmadev_autotest: dsa, with errors',
    machine: DSA,
    program: dmadev(`${A},max_queues=1`),
    says: [
      ...[`### Test dmadev instance 0 [${A}-q0]`, ...DMADEV_SAYS],
      ...['Running error handling Tests', 'Running fill Tests', 'Test OK'],
    ],
  },
  {
    name: 'devbind',
    machine: SINK,
    program: ['dpdk-devbind.py', '--status-dev', 'net'],
    says: ['Network devices using DPDK-compatible driver', `${A} '82576`, 'drv=vfio-pci'],
  },
  {
    name: 'igb: io, loop plug',
    machine: SELF,
    program: testpmd([A], '--no-lsc-interrupt', '--port-topology=loop', '--tx-first'),
    steps: ENTER,
    says: ['net_e1000_igb (8086:10c9)', 'Port 0: 02:00', 'Port 0 Link up at 1 Gbps FDX', 'Bye...'],
    check: forwarded,
  },
  {
    name: 'igb: io, two ports',
    machine: PAIR,
    program: testpmd([A, B], '--no-lsc-interrupt', '--port-topology=paired', '--tx-first'),
    steps: ENTER,
    says: ['Port 0 Link up at 1 Gbps FDX', 'Port 1 Link up at 1 Gbps FDX', 'Bye...'],
    check: forwarded,
  },
  {
    name: 'igb: statistics',
    machine: SELF,
    program: testpmd([A], '-i', '--port-topology=loop'),
    steps: commands(
      ...[['start tx_first'], ['show port stats all', 2], ['show port xstats 0'], ['stop']],
      ...[['port stop all'], ['port close all'], ['quit']],
    ),
    says: ['rx_good_packets: ', 'tx_size_65_to_127_packets: ', 'Port 0 is closed', 'Bye...'],
    check: nicStatistics,
  },
  {
    name: 'igb: txonly into a sink',
    machine: SINK,
    program: testpmd([A], '--forward-mode=txonly', '--stats-period=1', '--no-lsc-interrupt'),
    steps: [when('Tx-pps: ', 3, { signal: 'SIGINT' })],
    says: ['TX-errors: 0', 'Stopping port 0'],
    check: (out) =>
      count(out.split('Forward statistics')[1] ?? '', 'TX-packets') > 64 ? undefined : 'few frames',
  },
  {
    name: 'igb: link interrupt of the peer',
    machine: PAIR,
    program: testpmd([A, B], '-i', '--port-topology=paired'),
    steps: commands(['port stop 1', 1], ['show port info 0', 2], ['quit']),
    says: ['Port 0: link state change event', 'Link status: down', 'Bye...'],
  },
  {
    name: 'igb: four queues by hash',
    machine: SELF,
    program: testpmd(
      [A],
      '-i',
      '--rxq=4',
      '--txq=4',
      '--rss-udp',
      '--txpkts=64',
      '--txonly-multi-flow',
    ),
    steps: commands(
      ...[['set fwd txonly'], ['set promisc all on'], ['start'], ['stop', 2], ['set fwd rxonly']],
      ...[['show port xstats 0'], ['quit']],
    ),
    says: ['Bye...', 'TX Port= 0/Queue= 3'],
  },
  {
    name: 'igb: a virtual function and its physical one',
    machine: SINK,
    program: withVirtual(
      testpmd([A, VF], '-i', '--port-topology=paired').flatMap((word) =>
        word === '--no-huge' ? [word, '--vfio-vf-token', TOKEN] : [word],
      ),
    ),
    steps: commands(
      ['show port info 1'],
      [(out) => `set eth-peer 0 ${/Port 1: (\S+)/.exec(out)?.[1]}`],
      ...[['start tx_first'], ['show port stats 1', 2], ['stop'], ['quit']],
    ),
    says: [
      'net_e1000_igb_vf (8086:10ca)',
      'Driver name: net_e1000_igb_vf',
      'Link status: up',
      'Bye...',
    ],
    check: (out) => {
      const [, statistics = ''] = out.split('NIC statistics for port 1');
      const [rx, tx] = [count(statistics, 'RX-packets'), count(statistics, 'TX-packets')];
      return rx >= 32 && tx >= 32 ? undefined : `RX-packets ${rx}, TX-packets ${tx}`;
    },
  },
  {
    name: 'igb: opened again after its end, and after a kill',
    machine: SELF,
    program: [
      'sh',
      '-c',
      `for n in 1 2; do (sleep 6; echo) | timeout -s KILL 5 "$@" >/dev/null 2>&1; done; exec "$@"`,
      'sh',
      ...testpmd([A], '--no-lsc-interrupt', '--port-topology=loop', '--tx-first'),
    ],
    steps: ENTER,
    says: ['Port 0 Link up at 1 Gbps FDX', 'Bye...'],
    check: forwarded,
  },
  {
    name: 'virtio: io, loop plug',
    machine: VIRTIO_SELF,
    program: testpmd([A], '--no-lsc-interrupt', '--port-topology=loop', '--tx-first'),
    steps: ENTER,
    says: ['net_virtio (1af4:1041)', 'Port 0 Link up at 10 Gbps FDX', 'Bye...'],
    check: forwarded,
  },
  {
    name: 'virtio: io, two ports',
    machine: VIRTIO_PAIR,
    program: testpmd([A, B], '--no-lsc-interrupt', '--port-topology=paired', '--tx-first'),
    steps: ENTER,
    says: ['Port 0 Link up at 10 Gbps FDX', 'Port 1 Link up at 10 Gbps FDX', 'Bye...'],
    check: forwarded,
  },
  {
    name: 'virtio: io, two ports, packed rings',
    machine: VIRTIO_PACKED,
    program: testpmd([A, B], '--no-lsc-interrupt', '--port-topology=paired', '--tx-first'),
    steps: ENTER,
    says: ['Port 1 Link up at 10 Gbps FDX', 'Bye...'],
    check: forwarded,
  },
  {
    name: 'virtio: link interrupt of the peer',
    machine: VIRTIO_PAIR,
    program: testpmd([A, B], '-i', '--port-topology=paired'),
    steps: commands(['port stop 1', 1], ['port close 1', 1], ['show port info 0', 2], ['quit']),
    says: ['Port 0: link state change event', 'Link status: down', 'Bye...'],
  },
  {
    name: 'virtio: opened again after its end, and after a kill',
    machine: VIRTIO_SELF,
    program: [
      'sh',
      '-c',
      `for n in 1 2; do (sleep 6; echo) | timeout -s KILL 5 "$@" >/dev/null 2>&1; done; exec "$@"`,
      'sh',
      ...testpmd([A], '--no-lsc-interrupt', '--port-topology=loop', '--tx-first'),
    ],
    steps: ENTER,
    says: ['Port 0 Link up at 10 Gbps FDX', 'Bye...'],
    check: forwarded,
  },
];

export async function dpdk(options) {
  if (!needPackages(NEEDED, options.install)) return 2;
  const rows = ROWS.filter(({ name }) => !options.test || name.includes(options.test));
  console.log(`\n| ${'DPDK'.padEnd(52)} | result |`);
  console.log(`| ${'-'.repeat(52)} | ------ |`);
  const failures = [];
  for (const row of rows) {
    const reason = await outcome(row, options);
    console.log(`| ${row.name.padEnd(52)} | ${reason ? 'FAILED' : 'passed'} |`);
    if (reason) failures.push(`${row.name}\n    ${reason}`);
  }
  const who = process.getuid() === 0 ? 'root' : `user ${process.getuid()}`;
  console.log(`\nas ${who}: ${rows.length - failures.length} of ${rows.length} passed`);
  for (const failure of failures) console.log(`  ${failure}`);
  return failures.length === 0 && rows.length > 0 ? 0 : 1;
}

/** Undefined, or the first reason why not. */
async function outcome(row, options) {
  const home = mkdtempSync(join(tmpdir(), 'dpdk-conformance-'));
  try {
    const file = join(home, 'machine.yaml');
    writeFileSync(file, row.machine);
    const { out, exit } = await run(row, file, options);
    const missing = row.says.find((words) => !out.includes(words));
    if (missing) return `it does not say '${missing}'; ${complaint(out) ?? `exit ${exit}`}`;
    const reason = row.check?.(out);
    if (reason) return reason;
    return exit === (row.exit ?? 0) ? undefined : `exit ${exit}`;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** The first line of the output that looks like a reason. */
function complaint(out) {
  return out.split('\n').find((line) => /softiommu|PANIC|[Ee]rror|[Cc]annot|[Ff]ail/.test(line));
}

function run({ program, steps = [] }, file, options) {
  const mode = options.mode ? ['--mode', options.mode] : [];
  const pin = options.pin ? [`--pin=${options.pin}`] : [];
  return new Promise((resolve) => {
    const args = [SOFTIOMMU, 'run', '--machine', file, ...mode, ...pin, '--', ...program];
    const child = spawn(process.execPath, args, { stdio: 'pipe', detached: true });
    const limit = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), LIMIT_MS);
    let [out, seen, next] = ['', 0, 0];
    const look = () => {
      const step = steps[next];
      const at = step ? out.indexOf(step.words, seen) : -1;
      if (at < 0) return;
      seen = at + step.words.length;
      next++;
      setTimeout(() => {
        if (step.signal) child.kill(step.signal);
        else child.stdin.write(`${typeof step.type === 'function' ? step.type(out) : step.type}\n`);
        look();
      }, step.seconds * 1000);
    };
    const take = (data) => {
      out += data;
      look();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.stdin.on('error', () => undefined);
    child.on('close', (code, signal) => {
      clearTimeout(limit);
      resolve({ out, exit: signal ?? code });
    });
  });
}
