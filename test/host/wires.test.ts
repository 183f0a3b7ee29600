/** Wires that lead out of the machine: a peer that speaks as QEMU does, another run, a network interface of the host. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, has, startSoftiommu, type Environment } from './environments.ts';
import { PROJECT } from './project.ts';

const BDF = '0000:00:05.0';
const folder = mkdtempSync(join(tmpdir(), 'wires-test-'));
chmodSync(folder, 0o777);
let frames = '';
beforeAll(() => (frames = compile('test/host/programs/frames.c')));
afterAll(() => rmSync(folder, { recursive: true }));

interface Ended {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}
function ended(child: ChildProcess): Promise<Ended> {
  let [out, err] = ['', ''];
  child.stdout?.on('data', (data) => (out += String(data)));
  child.stderr?.on('data', (data) => (err += String(data)));
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, out, err })));
}
function run(environment: Environment, wire: string, ...args: string[]): Promise<Ended> {
  const flags = ['--device', `igb,bdf=${BDF},wire=lan`, '--wire', `lan,${wire}`];
  const [what, count, ...more] = args;
  const argv = [frames, what!, count!, BDF, '1', ...more];
  return ended(startSoftiommu(argv, { environment, flags }));
}
/** As the user of the run. */
function peer({ prefix }: Environment, ...args: string[]): Promise<Ended> {
  const as = prefix.slice(prefix.indexOf('setpriv'), prefix.indexOf('--clear-groups') + 1);
  const command = [...as, 'python3', join(PROJECT, 'test/host/programs/wire-peer.py'), ...args];
  const env = { ...process.env, PATH: `/usr/bin:${process.env['PATH'] ?? ''}` };
  return ended(spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], env }));
}
let sockets = 0;
const socket = (): string => join(folder, `${++sockets}.sock`);
const GONE = /^softiommu: wire lan: the other end has gone: the link is down\n$/;

describe.each(ENVIRONMENTS)('$name', (environment) => {
  const skip = environment.skip !== undefined || !has('python3');

  test.skipIf(skip).for(['stream', 'packets'])(
    'a peer connects, echoes frames by %s, and goes: the link is down, and a line says so',
    async (form) => {
      const file = socket();
      const [program, other] = await Promise.all([
        run(environment, `listen=${file},form=${form}`, 'ask', '40', 'and the end'),
        peer(environment, form, file, '40'),
      ]);
      expect(other).toMatchObject({ status: 0, err: '' });
      expect(program).toMatchObject({ status: 0, out: 'link up\n40 frames\nlink down\n' });
      expect(program.err).toMatch(GONE);
      expect(existsSync(file)).toBe(false);
    },
  );

  test.skipIf(skip)('datagrams go to a peer and come from it', async () => {
    const [own, theirs] = [socket(), socket()];
    const other = peer(environment, 'datagram', theirs, own, '40');
    while (!existsSync(theirs)) await new Promise((resolve) => setTimeout(resolve, 10));
    const program = await run(environment, `datagram=${own},to=${theirs}`, 'ask', '40');
    expect(program).toEqual({ status: 0, out: 'link up\n40 frames\n', err: '' });
    expect(await other).toMatchObject({ status: 0, err: '' });
  });

  test.skipIf(skip)('two runs are joined: what one sends the other has', async () => {
    const file = socket();
    const listens = run(environment, `listen=${file}`, 'echo', '40', 'and the end');
    while (!existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 10));
    const asks = await run(environment, `connect=${file}`, 'ask', '40');
    expect(asks).toEqual({ status: 0, out: 'link up\n40 frames\n', err: '' });
    const echoed = await listens;
    expect(echoed).toMatchObject({ status: 0, out: 'link up\n40 frames\nlink down\n' });
    expect(echoed.err).toMatch(GONE);
  });
});

/** Root makes an interface; a program of the host answers on it. */
const tap = `swt${process.pid % 1e6}`;
const hasTap =
  process.getuid?.() === 0 &&
  has('python3') &&
  spawnSync('ip', ['tuntap', 'add', tap, 'mode', 'tap']).status === 0;
test.skipIf(!hasTap)('frames go through an interface of the host', async () => {
  try {
    spawnSync('sysctl', ['-q', '-w', `net.ipv6.conf.${tap}.disable_ipv6=1`]);
    spawnSync('ip', ['link', 'set', tap, 'up']);
    // Whoever reads the interface has what the device sends; what is written there is sent to the device.
    const echo = spawn('python3', [
      ...[
        '-c',
        `import socket,sys
s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(3)); s.bind((sys.argv[1],0)); print(flush=True)
n=0
while n<40:
    frame,where=s.recvfrom(65536)
    if where[2]!=4: s.send(frame); n+=1`,
      ],
      tap,
    ]);
    await new Promise((resolve) => echo.stdout.once('data', resolve));
    const program = await run(ENVIRONMENTS[0]!, `tap=${tap}`, 'ask', '40');
    expect(program).toEqual({ status: 0, out: 'link up\n40 frames\n', err: '' });
  } finally {
    spawnSync('ip', ['link', 'delete', tap]);
  }
});

test('names in a machine file are relative to it, and nothing is left of a run', async () => {
  const home = mkdtempSync(join(folder, 'home-'));
  const machine = join(home, 'machine.yaml');
  const device = `{ type: igb, at: '${BDF}', options: { wire: lan } }`;
  writeFileSync(machine, `devices: [${device}]\nwires: { lan: { listen: lan.sock } }\n`);
  const list = await ended(startSoftiommu(['ls', home], { flags: ['--machine', machine] }));
  expect(list).toEqual({ status: 0, out: 'lan.sock\nmachine.yaml\n', err: '' });
  expect(readdirSync(home)).toEqual(['machine.yaml']);
  writeFileSync(machine, `devices: [${device}]\nwires: { lan: { connect: lan.sock } }\n`);
  const refused = await ended(startSoftiommu(['ls'], { flags: ['--machine', machine] }));
  expect(refused.status).toBe(125);
  expect(refused.err).toBe(
    `softiommu: ${machine}:2: wires.lan.connect: lan.sock cannot be connected to: there is no such file\n`,
  );
});
