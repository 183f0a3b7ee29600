/** Unmodified programs under `softiommu run`. */
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MAIN, PROJECT } from './project.ts';
import {
  compile,
  ENVIRONMENTS,
  has,
  softiommu,
  startSoftiommu as startIn,
  strayDirectories,
} from './environments.ts';

const eduC = compile('examples/edu-dma.c');
const eduStatic = compile('examples/edu-dma.c', '-static');
const mmio = compile('test/host/programs/mmio.c');
const refusals = compile('test/host/programs/refusals.c');
const descriptors = compile('test/host/programs/descriptors.c');
const threads = compile('test/host/programs/threads.c');

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const run = (argv: readonly string[], flags: readonly string[] = []) =>
    softiommu(argv, { environment, flags });
  const it = environment.skip === undefined ? test : test.skip;

  it('the C example does its DMA through container, group and type1', () => {
    const { stdout, stderr, status } = run([eduC]);
    expect(stderr).toBe('');
    expect(stdout).toContain('came back the same, each time with an interrupt');
    expect(stdout).toContain('after the unmap the device cannot write to the memory any more');
    expect(status).toBe(0);
  });

  it('the C example does the same when it is linked statically', () => {
    const { stdout, status } = run([eduStatic]);
    expect(stdout).toContain('reached nothing');
    expect(status).toBe(0);
  });

  it('the Python example does its DMA through the cdev and /dev/iommu', () => {
    const { stdout, stderr, status } = run(['python3', join(PROJECT, 'examples/edu-dma.py')]);
    expect(stderr).toBe('');
    expect(stdout).toContain('came back the same');
    expect(stdout).toContain('the mapped registers show the same device');
    expect(status).toBe(0);
  });

  it('every load and store does what the processor does with memory', () => {
    const { stdout, status } = run([mmio]);
    expect(stdout).toBe('0 differences\n');
    expect(status).toBe(0);
  });

  it('threads and children use device files and mapped registers at once', () => {
    const { stdout, status } = run([threads]);
    expect(stdout).toBe('child 42\n');
    expect(status).toBe(0);
  });

  it('bad calls get the errno of the kernel', () => {
    const lines = run([refusals]).stdout.trimEnd().split('\n');
    expect(Object.fromEntries(lines.map((line) => line.split(': ')))).toEqual(REFUSALS);
  });

  it('descriptors mean the same after dup, fork and a socket, while others close them', () => {
    const { stdout, stderr, status } = run([descriptors]);
    expect(stderr).toBe('');
    const lines = stdout.trimEnd().split('\n');
    expect(Object.fromEntries(lines.map((line) => line.split(': ')))).toEqual(DESCRIPTORS);
    expect(status).toBe(0);
  });

  it('a shell walks the simulated tree', () => {
    const script = `cd /sys/bus/pci/devices && pwd && ls && cat 0000:00:04.0/vendor &&
      cd 0000:00:04.0 && pwd -P && basename $(readlink driver) && readlink -f iommu_group &&
      test -c /dev/vfio/vfio && ! (echo 1 > vendor) 2> /dev/null && cat ../0000:00:04.0/device &&
      cd /tmp && cat ../sys/bus/pci/devices/0000:00:04.0/class && ls /dev/vfio && cat < /dev/null`;
    const { stdout, stderr, status } = run(['sh', '-c', script]);
    expect(stderr).toBe('');
    expect(stdout.split('\n')).toEqual([
      ...['/sys/bus/pci/devices', '0000:00:04.0', '0x1234'],
      ...['/sys/devices/pci0000:00/0000:00:04.0', 'vfio-pci', '/sys/kernel/iommu_groups/0'],
      ...['0x11e8', '0x00ff00', '0', 'devices', 'vfio', ''],
    ]);
    expect(status).toBe(0);
  });

  it('the fdinfo of a device names the device', () => {
    const script = `import os
fd = os.open("/dev/vfio/devices/vfio0", os.O_RDWR)
other = os.open("/dev/null", os.O_RDWR)
for name in (f"self/fdinfo/{fd}", f"{os.getpid()}/task/{os.getpid()}/fdinfo/{fd}", f"self/fdinfo/{other}"):
    lines = open("/proc/" + name).read().splitlines()
    print(lines[0][:4], [line for line in lines if line.startswith("vfio")])
try: open("/proc/self/fdinfo/77")
except OSError as error: print(error.strerror)`;
    const { stdout, stderr } = run(['python3', '-c', script]);
    expect(stderr).toBe('');
    const device = "['vfio-device-syspath: /sys/devices/pci0000:00/0000:00:04.0']";
    expect(stdout.trimEnd().split('\n')).toEqual([
      `pos: ${device}`,
      `pos: ${device}`,
      'pos: []',
      'No such file or directory',
    ]);
  });

  it('a write to a sysfs attribute has its effect and its errno', () => {
    const script = `cd /sys/bus/pci/drivers/vfio-pci; printf nonsense | tee bind; echo $?
      echo 0000:00:04.0 > unbind; echo $?; test -e /sys/bus/pci/devices/0000:00:04.0/driver; echo $?
      echo 0000:00:04.0 > bind; echo $?; test -e /sys/bus/pci/devices/0000:00:04.0/driver; echo $?`;
    const { stdout, stderr } = run(['sh', '-c', script]);
    expect(stdout.split('\n')).toEqual(['nonsense1', '0', '1', '0', '0', '']);
    expect(stderr).toContain('No such device');
  });

  it('lspci shows the device as the kernel would', ({ skip }) => {
    skip(!has('lspci'), 'lspci is not installed');
    const { stdout, stderr, status } = run(['lspci', '-nn']);
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^00:04\.0 .*\[00ff\]: .*\[1234:11e8\] \(rev 10\)$/m);
    expect(status).toBe(0);
  });

  it('the exit status is the program’s', () => {
    expect(run(['sh', '-c', 'exit 7']).status).toBe(7);
  });

  it('death by a signal is the program’s', () => {
    expect(run(['sh', '-c', 'kill -USR1 $$']).signal).toBe('SIGUSR1');
  });

  it('a missing program is 127, one that cannot be executed 126, each with one line', () => {
    const missing = run(['no-such-program-here']);
    expect([missing.status, missing.stderr]).toEqual([
      127,
      'softiommu: no-such-program-here: no such program\n',
    ]);
    const text = run(['/etc/passwd']);
    expect([text.status, text.stderr]).toEqual([
      126,
      'softiommu: /etc/passwd: is not executable (chmod +x makes it so)\n',
    ]);
    const directory = run(['/etc']);
    expect([directory.status, directory.stderr]).toEqual([
      126,
      'softiommu: /etc: is a directory\n',
    ]);
  });
});

const REFUSALS = {
  'no such node': 'ENOENT',
  'a node is no directory': 'ENOTDIR',
  'exclusive creation of what is there': 'EEXIST',
  'a directory opened for writing': 'EISDIR',
  'a file made under a name with a slash': 'EISDIR',
  'a directory made under one': 'EISDIR',
  'a directory to be made by open': 'EINVAL',
  'a question with a fourth bit': 'EINVAL',
  "one about the file system's ids": '0',
  'one with an unknown flag': 'EINVAL',
  'a stat with an unknown flag': 'EINVAL',
  'one that is to be synced and not': 'EINVAL',
  'one with a bit kept for later': 'EINVAL',
  'a bad path pointer': 'EFAULT',
  'a write-only attribute read': 'EACCES',
  'an attribute written that cannot be': 'EACCES',
  'a group opened twice': 'EBUSY',
  'an unknown ioctl': 'EINVAL',
  'a struct at a bad address': 'EFAULT',
  'a struct in read-only memory': 'EFAULT',
  'a struct too small': 'EINVAL',
  'a container that is no container': 'EBADFD',
  'a container that is not open': 'EBADF',
  'an ioctl on a foreign file': 'ENOTTY',
  'an ioctl on a closed descriptor': 'EBADF',
  'a read of a control file': 'EINVAL',
  'a mapping of a control file': 'ENODEV',
  'a container set': '0',
  'its IOMMU set': '0',
  'read-only memory mapped for writing': 'EFAULT',
  'nothing mapped': 'EFAULT',
  fstat: '0',
  'a character device': '1',
  'a duplicate after the close of the first': '0',
  'the ioctl of a child': '0',
  'a group opened again after its close': '0',
};

const DESCRIPTORS = {
  'anything but success and EBADF': '0',
  'an ioctl on a descriptor passed over a socket': '0',
  'the group while the other process has it': 'EBUSY',
  'the group when it has ended': '0',
  'an unbind of a device in use has ended': '0',
  'a waiting unbind can be killed': '1',
  'an interrupted unbind has ended': '0',
  'one that was stopped and continued has': '0',
  'the unbind when the device is closed': '12',
  'the handler of a signal meanwhile': '1',
  'the group of an unbound device': 'ENOENT',
  'the bind': '12',
  'an eventfd takes no ioctl of VFIO': 'ENOTTY',
  'an attribute takes none': 'ENOTTY',
  'a directory takes none': 'ENOTTY',
  'an attribute mapped': 'ENODEV',
  'an attribute mapped privately': 'ENODEV',
  'a pipe is no eventfd': 'EINVAL',
  'an attribute is no eventfd': 'EINVAL',
  'a container is no eventfd': 'EINVAL',
  'a closed descriptor is no eventfd': 'EBADF',
  'an eventfd': '0',
};

test('namespace mode says which setting keeps it from working', ({ skip }) => {
  const container = ENVIRONMENTS.find(({ name }) => name.startsWith('in a default container'))!;
  skip(container.skip !== undefined, container.skip);
  const environment = { ...container, mode: 'namespace' } as const;
  const { status, stdout, stderr } = softiommu(['true'], { environment });
  expect([status, stdout]).toEqual([125, '']);
  expect(stderr).toMatch(/^softiommu: --mode namespace: .*(mount\(2\)|\/dev\/fuse).*: .+\n$/);
});

test.for([
  [['--mode', 'what'], "option '--mode <mode>' argument 'what' is invalid"],
  [['--pin=what'], "option '--pin <how>' argument 'what' is invalid"],
  [['--nosuch'], "unknown option '--nosuch'"],
] as const)('a wrong flag is 125: %o', ([flags, message]) => {
  const { status, stdout, stderr } = softiommu(['true'], { flags });
  expect([status, stdout]).toEqual([125, '']);
  expect(stderr).toContain(message);
});

/** One place for each mode, the first that can be tried. */
const PLACES = ENVIRONMENTS.filter(
  (place, index) =>
    place.skip === undefined &&
    ENVIRONMENTS.findIndex((e) => e.skip === undefined && e.mode === place.mode) === index,
);

describe.for(PLACES)('a run leaves nothing behind: $name', (environment) => {
  const startSoftiommu = (argv: readonly string[]) =>
    startIn(argv, { environment, flags: ['--wait=program'] });
  const mounts = () => readFileSync('/proc/self/mounts', 'latin1').split('\n');
  const before = new Set(mounts());
  afterEach(() => {
    // Whatever else the host mounts meanwhile.
    const left = mounts().filter((line) => !before.has(line));
    expect(left.filter((line) => /^softiommu | \/(dev|sys)[/ ]|\/softiommu-/.test(line))).toEqual(
      [],
    );
  });
  const finished = (child: ReturnType<typeof startIn>) =>
    new Promise<{ code: number | null; signal: string | null }>((resolve) => {
      child.stdout!.resume();
      child.on('exit', (code, signal) => resolve({ code, signal }));
    });
  const firstOutput = (child: ReturnType<typeof startIn>) =>
    new Promise<string>((resolve) =>
      child.stdout!.once('data', (b: Buffer) => resolve(b.toString())),
    );

  test('a run leaves nothing behind after SIGTERM, which is passed on', async () => {
    const child = startSoftiommu(['sh', '-c', 'echo $$; exec sleep 60']);
    const end = finished(child);
    const pid = Number(await firstOutput(child));
    child.kill('SIGTERM');
    expect((await end).signal).toBe('SIGTERM');
    expect(alive(pid)).toBe(false);
  });

  test('a run leaves nothing behind after SIGINT, which a program may handle', async () => {
    const child = startSoftiommu(['sh', '-c', 'trap "exit 3" INT; echo ready; sleep 60 & wait']);
    const end = finished(child);
    await firstOutput(child);
    child.kill('SIGINT');
    expect((await end).code).toBe(3);
  });

  test('a run leaves nothing behind when the program has left children behind', async () => {
    const child = startSoftiommu(['sh', '-c', 'sleep 60 & echo $!']);
    const end = finished(child);
    const pid = Number(await firstOutput(child));
    expect((await end).code).toBe(0);
    expect(alive(pid)).toBe(false);
  });

  test('a run leaves nothing behind when softiommu itself is killed, and the program goes with it', async () => {
    const child = startSoftiommu(['sh', '-c', 'echo $$; exec sleep 60']);
    const end = finished(child);
    const pid = Number(await firstOutput(child));
    child.kill('SIGKILL');
    await end;
    await expect.poll(() => alive(pid), { timeout: 60_000 }).toBe(false);
    // Its directory goes with the next run.
    expect(softiommu(['true'], { environment }).status).toBe(0);
    expect(strayDirectories()).toEqual([]);
  });

  test('a run leaves nothing behind when the program is killed', async () => {
    const child = startSoftiommu(['sh', '-c', 'echo $$; kill -KILL $$']);
    expect((await finished(child)).signal).toBe('SIGKILL');
  });

  test('a run leaves nothing behind when a child still waits for an attribute to be written', async () => {
    const child = startSoftiommu(['python3', join(PROJECT, 'test/host/programs/waiting.py')]);
    const end = finished(child);
    const pid = Number(await firstOutput(child));
    expect((await end).code).toBe(5);
    expect(alive(pid)).toBe(false);
  });

  test('a run leaves nothing behind when nobody reads its output any more', () => {
    // A pipe of the shell: those of Node are sockets, which are reset and not broken.
    const line = `('${process.execPath}' '${MAIN}' run --mode ${environment.mode} -- yes; echo $? >&2) | head -n 1`;
    const { stdout, stderr } = spawnSync('sh', ['-c', line], { encoding: 'utf8', timeout: 60_000 });
    expect(stdout).toBe('y\n');
    expect(Number(stderr)).toBe(128 + 13);
  });
});

function alive(pid: number): boolean {
  try {
    // A zombie has ended: its new parent has only not looked yet.
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ');
  } catch {
    return false;
  }
}
