// `npm run conformance -- dpdk`: Debian's DPDK, unmodified, on the devices it has drivers for.
// A row is a machine, a program, what is typed and when, and what its output must say. Those about a NIC are one table for all
// that have a plug.
import { spawn } from 'node:child_process';
import { chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { needPackages } from './debian.mjs';
import { reportRows } from './reports.mjs';
import { runRows } from './rows.mjs';

const SOFTIOMMU = new URL('../dist/cli/main.js', import.meta.url).pathname;
const NEEDED = {
  dpdk: 'dpdk-devbind.py',
  'dpdk-dev': 'testpmd, dpdk-test, and all drivers',
  pciutils: 'dpdk-devbind.py asks lspci',
};
/** A row that is not over by then has failed, if it has no `limitMs` of its own. */
const LIMIT_MS = 120_000;

const [A, B] = ['0000:00:04.0', '0000:00:05.0'];
const machine = (...devices) => JSON.stringify({ devices });
const device = (type, at, options = {}) => ({ type, at, options });

/** NICs by the type of their device: DPDK's driver, what it says of the link, and the options of its kinds. */
const NICS = {
  igb: {
    driver: 'net_e1000_igb (8086:10c9)',
    named: "'82576",
    speed: '1 Gbps FDX',
    /** Statistics of the hardware, of 64 bytes without the checksum. */
    xstats: ['rx_good_packets: ', 'tx_size_65_to_127_packets: '],
    /** When its driver lets go of the link; a close resets the PHY, and it is up again. */
    linkDown: ['port stop 1'],
    kinds: { '': {} },
  },
  'virtio-net': {
    driver: 'net_virtio (1af4:1041)',
    named: "'Virtio 1.0 network device",
    speed: '10 Gbps FDX',
    xstats: ['rx_good_packets: ', 'tx_q0_size_64_packets: '],
    linkDown: ['port stop 1', 'port close 1'],
    kinds: { '': {}, ', packed rings': { packed: true } },
  },
};

/** EAL without huge pages: memory is one area, and its addresses are those of the program. */
const eal = (megabytes, ...devices) => [
  ...['--no-huge', '-m', String(megabytes), '--iova-mode=va', '-l', '0,1', '--no-telemetry'],
  ...['--file-prefix', `conformance${process.pid}`, ...devices.flatMap((at) => ['-a', at])],
];
const testpmd = (devices, ...more) => [
  // Lines as they are written, though nobody looks at a terminal.
  ...['stdbuf', '-oL', 'dpdk-testpmd'],
  ...eal(128, ...devices),
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
const sent = (out) =>
  count(out.split('Forward statistics')[1] ?? '', 'TX-packets') > 64 ? undefined : 'few frames';

/** What every NIC is asked, wired to itself, to nobody, or to another of its kind. */
const nicRows = (type, kind, { driver, named, speed, xstats, linkDown, kinds }) => {
  const nic = (at, wire) => device(type, at, { wire, ...kinds[kind] });
  const [self, sink] = [machine(nic(A, 'self')), machine(nic(A, 'sink'))];
  const pair = machine(nic(A, B), nic(B, 'sink'));
  const io = testpmd([A], '--no-lsc-interrupt', '--port-topology=loop', '--tx-first');
  const loop = { machine: self, program: io, steps: ENTER, check: forwarded };
  const says = [driver, `Port 0 Link up at ${speed}`, 'Bye...'];
  return [
    {
      name: 'devbind status (J3)',
      machine: sink,
      program: ['dpdk-devbind.py', '--status-dev', 'net'],
      says: ['Network devices using DPDK-compatible driver', `${A} ${named}`, 'drv=vfio-pci'],
    },
    { name: 'io, loop plug (J4)', ...loop, says: [...says, 'Port 0: 02:'] },
    {
      name: 'io, two ports (J5)',
      machine: pair,
      program: testpmd([A, B], '--no-lsc-interrupt', '--port-topology=paired', '--tx-first'),
      steps: ENTER,
      says: [...says, `Port 1 Link up at ${speed}`],
      check: forwarded,
    },
    {
      name: 'statistics (J6)',
      machine: self,
      program: testpmd([A], '-i', '--port-topology=loop'),
      steps: commands(
        ...[['start tx_first'], ['show port stats all', 2], ['show port xstats 0'], ['stop']],
        ...[['port stop all'], ['port close all'], ['quit']],
      ),
      says: [...xstats, 'Port 0 is closed', 'Bye...'],
      check: nicStatistics,
    },
    {
      name: 'txonly into a sink (J7)',
      machine: sink,
      program: testpmd([A], '--forward-mode=txonly', '--stats-period=1', '--no-lsc-interrupt'),
      steps: [when('Tx-pps: ', 3, { signal: 'SIGINT' })],
      says: ['TX-errors: 0', 'Stopping port 0'],
      check: sent,
    },
    {
      name: 'link interrupt of the peer (J8)',
      machine: pair,
      program: testpmd([A, B], '-i', '--port-topology=paired'),
      steps: commands(...linkDown.map((type) => [type, 1]), ...[['show port info 0', 2], ['quit']]),
      says: ['Port 0: link state change event', 'Link status: down', 'Bye...'],
    },
    {
      name: 'opened again after its end, and after a kill',
      ...loop,
      program: [
        ...['sh', '-c'],
        `for n in 1 2; do (sleep 6; echo) | timeout -s KILL 5 "$@" >/dev/null 2>&1; done; exec "$@"`,
        ...['sh', ...io],
      ],
      says,
    },
  ].map((row) => ({ ...row, name: `${type}${kind}: ${row.name}` }));
};

/** What only one of them has. */
const OF_IGB = [
  {
    name: 'igb: four queues by hash',
    machine: machine(device('igb', A, { wire: 'self' })),
    program: testpmd(
      ...[[A], '-i', '--rxq=4', '--txq=4', '--rss-udp', '--txpkts=64', '--txonly-multi-flow'],
    ),
    steps: commands(
      ...[['set fwd txonly'], ['set promisc all on'], ['start'], ['stop', 2], ['set fwd rxonly']],
      ...[['show port xstats 0'], ['quit']],
    ),
    says: ['Bye...', 'TX Port= 0/Queue= 3'],
  },
  {
    // The switch of virtual functions is root's.
    name: 'igb: a virtual function and its physical one',
    as: 'root',
    machine: machine(device('igb', A, { wire: 'sink' })),
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
      ...['net_e1000_igb_vf (8086:10ca)', 'Driver name: net_e1000_igb_vf'],
      ...['Link status: up', 'Bye...'],
    ],
    check: (out) => {
      const [, statistics = ''] = out.split('NIC statistics for port 1');
      const [rx, tx] = [count(statistics, 'RX-packets'), count(statistics, 'TX-packets')];
      return rx >= 32 && tx >= 32 ? undefined : `RX-packets ${rx}, TX-packets ${tx}`;
    },
  },
];

/** DPDK's own test of what copies, on the devices and on its software model, which wants a core of its own. */
const dmadev = (...devices) => [
  ...['env', 'DPDK_TEST=dmadev_autotest', 'dpdk-test', ...eal(64, ...devices)],
];
const IOAT = machine(device('ioat', A), device('ioat', B));
const DSA = JSON.stringify({
  kernel: { with: ['vfio-denylist-off'] },
  devices: [device('dsa', A)],
});
const DMADEV_SAYS = [
  'Ops submitted: 85120\tOps completed: 85120\tErrors: 0',
  'Ops completed: 65536',
];
const DMA_DEVICES = ['DMA devices using DPDK-compatible driver', A, 'drv=vfio-pci'];

const DMA_ROWS = [
  {
    name: 'ioat: devbind status (J3)',
    machine: IOAT,
    program: ['dpdk-devbind.py', '--status-dev', 'dma'],
    says: DMA_DEVICES,
  },
  {
    name: 'dsa: devbind status (J3)',
    machine: DSA,
    program: ['dpdk-devbind.py', '--status-dev', 'dma'],
    says: DMA_DEVICES,
  },
  {
    name: 'ioat: dmadev_autotest (J9)',
    machine: IOAT,
    program: dmadev(A),
    says: [`### Test dmadev instance 0 [${A}]`, ...DMADEV_SAYS, 'Running fill Tests', 'Test OK'],
  },
  {
    // Its driver loses an operation when the rest has ended before it asks for what failed. It asks at once, but on a busy host
    // its turn may come later than any time of a real device; a test waits a second at most.
    name: 'ioat: dmadev_autotest with errors (J9)',
    machine: machine(device('ioat', A, { cbver: 0x34, recovery_us: 300_000 })),
    program: dmadev(A),
    // It waits for that some hundred times.
    limitMs: 3 * LIMIT_MS,
    says: [`instance 0 [${A}]`, ...DMADEV_SAYS, 'Running error handling Tests', 'Test OK'],
  },
  {
    name: 'dsa: dmadev_autotest with errors (J10)',
    machine: DSA,
    program: dmadev(`${A},max_queues=1`),
    says: [
      ...[`### Test dmadev instance 0 [${A}-q0]`, ...DMADEV_SAYS],
      ...['Running error handling Tests', 'Running fill Tests', 'Test OK'],
    ],
  },
  {
    name: 'ioat: dmadev_autotest on two (J11)',
    machine: IOAT,
    program: dmadev(A, B),
    says: [`instance 0 [${A}]`, `instance 1 [${B}]`, ...DMADEV_SAYS, 'Test OK'],
  },
];

const ROWS = [
  ...Object.entries(NICS).flatMap(([type, nic]) =>
    Object.keys(nic.kinds).flatMap((kind) => nicRows(type, kind, nic)),
  ),
  ...OF_IGB,
  ...DMA_ROWS,
];

export async function dpdk(options) {
  if (!needPackages(NEEDED, options.install)) return 2;
  const judge = async (row, user) => ({ reason: await outcome(row, user, options) });
  return reportRows(await runRows('dpdk', ROWS, judge, options), options);
}

/** Undefined, or the first reason why not. */
async function outcome(row, user, options) {
  const home = mkdtempSync(join(tmpdir(), 'conformance-dpdk-'));
  try {
    writeFileSync(join(home, 'machine.json'), row.machine);
    // Where an ordinary user's DPDK has its files.
    mkdirSync(join(home, 'runtime'), { mode: 0o700 });
    const { uid, gid } = user.spawn;
    if (uid !== undefined)
      for (const name of ['.', 'runtime']) chownSync(join(home, name), uid, gid);
    const { out, exit } = await run(row, home, user, options);
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

function run({ program, steps = [], limitMs = LIMIT_MS }, home, user, options) {
  const mode = options.mode ? ['--mode', options.mode] : [];
  const pin = options.pin ? [`--pin=${options.pin}`] : [];
  const flags = [...mode, ...pin, ...user.flags, '--machine', join(home, 'machine.json')];
  const env = { ...process.env, HOME: home, XDG_RUNTIME_DIR: join(home, 'runtime') };
  return new Promise((resolve) => {
    const args = [SOFTIOMMU, 'run', ...flags, '--', ...program];
    const how = { cwd: home, stdio: 'pipe', detached: true, ...user.spawn, env };
    const child = spawn(process.execPath, args, how);
    const limit = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), limitMs);
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
