/**
 * `npm run bench -- --whole`: foreign programs as a whole, under `run` and on what they have without it. One operation of each
 * side is told as time on the clock and as CPU time of all processes, start and end left out: of two runs, one of which does
 * much more than the other, the difference counts. Of packets it is the CPU time of the process that was started, while they go.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const AT = '0000:00:05.0';
const DISK = ['--device', `nvme,bdf=${AT},size_mib=32`];
const NIC = ['--device', `igb,bdf=${AT},wire=self`];
/** Of `Utime` and its kin in /proc/self/stat. */
const TICKS_PER_S = 100;
/** So much more does the larger of two runs. */
const FACTOR = 10;

const under = (flags, program) => [process.execPath, MAIN, 'run', ...flags, '--', ...program];
const reads = (count, disk) => `qemu-img bench -f raw -d 32 -s 4096 -c ${count} ${disk}`.split(' ');
const looks = (count) => ['sh', '-c', `for n in $(seq ${count}); do lspci -n >/dev/null; done`];
const eal = '--no-huge -m 128 --iova-mode=va -l 0,1 --no-telemetry --file-prefix whole';
const testpmd = (port) =>
  `stdbuf -oL dpdk-testpmd ${eal} ${port} -- --total-num-mbufs=4096 --no-mlockall --nb-cores=1 --no-lsc-interrupt --port-topology=loop --tx-first`.split(
    ' ',
  );

/** What is done `count` times by either side. */
const COUNTED = [
  {
    title: 'NVMe, 4 KiB read by qemu-img bench -d 32, beside null-co',
    program: 'qemu-img',
    count: 10_000,
    ours: (count) => under(DISK, reads(count, `nvme://${AT}/1`)),
    other: (count) => reads(count, 'null-co://'),
  },
  {
    title: 'lspci -n, beside that of the host',
    program: 'lspci',
    count: 10,
    ours: (count) => under([], looks(count)),
    other: looks,
  },
];
/** Packets forwarded while it runs. */
const PACKETS = {
  title: 'igb, 64-byte packet forwarded by testpmd, beside net_null',
  program: 'dpdk-testpmd',
  seconds: 6,
  ours: under(NIC, testpmd(`-a ${AT}`)),
  other: testpmd('--no-pci --vdev=net_null0,size=64'),
};

/** CPU time of all children that have ended, seconds. */
function cpuOfChildren() {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1].split(' ');
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_S;
}
function once([command, ...args]) {
  const [begin, cpu] = [process.hrtime.bigint(), cpuOfChildren()];
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  return { s: Number(process.hrtime.bigint() - begin) / 1e9, cpu: cpuOfChildren() - cpu };
}
/** Microseconds of one. */
function each(command, count) {
  const few = once(command(count));
  const many = once(command(count * FACTOR));
  const per = (name) => (1e6 * (many[name] - few[name])) / (count * (FACTOR - 1));
  return { us: per('s'), cpuUs: per('cpu') };
}

/** CPU time of a process itself, seconds: of softiommu's, or of the program that runs without it. */
function cpuOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

/** Microseconds of a packet, of a program that goes on until it is given an end of line: it polls, so its own CPU time says nothing. */
function packets([command, ...args], seconds) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: 'pipe' });
    let out = '';
    let isTimed = false;
    let cpu = 0;
    const take = (data) => {
      out += data;
      if (isTimed || !out.includes('Press enter to exit')) return;
      isTimed = true;
      const before = cpuOf(child.pid);
      setTimeout(() => {
        cpu = cpuOf(child.pid) - before;
        child.stdin.write('\n');
      }, seconds * 1000);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('close', () => {
      const statistics = out.split('Accumulated forward statistics')[1] ?? '';
      const count = Number(/RX-packets: *(\d+)/.exec(statistics)?.[1]);
      if (count > 0) resolve({ us: (1e6 * seconds) / count, cpuUs: (1e6 * cpu) / count });
      else reject(new Error(`${command} ${args.join(' ')}: no packets: ${out.slice(-400)}`));
    });
  });
}

const there = (program) => spawnSync('which', [program]).status === 0;
const figure = (value) => (value === undefined ? '–' : value.toFixed(2));

function line({ title }, ours, other) {
  const rate = Math.round(1e6 / ours.us);
  const ratio = (of) => (of(ours) / of(other)).toFixed(1);
  const cpu = ours.cpuUs === undefined ? '' : `, of CPU ${ratio(({ cpuUs }) => cpuUs)}`;
  console.log(
    `${title}: ${figure(ours.us)} µs (CPU ${figure(ours.cpuUs)} µs), ${rate} a second; beside it ${figure(other.us)} µs (CPU ${figure(other.cpuUs)} µs); ratio ${ratio(({ us }) => us)}${cpu}`,
  );
}

/** Prints a line for each. A program that is not installed is said to be missing. */
export async function whole(only) {
  const rows = [...COUNTED, PACKETS].filter(({ title }) => title.includes(only));
  if (rows.length === 0) {
    console.error(`bench: --only ${only}: no program of --whole has that in its title`);
    return 2;
  }
  if (!existsSync(MAIN)) {
    console.error('bench: dist/ is missing: run npm run build first');
    return 2;
  }
  for (const row of rows) {
    if (!there(row.program)) console.log(`${row.title}: ${row.program} is not installed`);
    else if (row === PACKETS) {
      line(row, await packets(row.ours, row.seconds), await packets(row.other, row.seconds));
    } else line(row, each(row.ours, row.count), each(row.other, row.count));
  }
  return 0;
}
