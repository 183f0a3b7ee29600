// `npm run conformance -- explore`: explorations that share a queue, on Debian's redis-server: three of them, one of which is
// killed now and then and started anew, find what one finds alone, each failure once. And a queue that goes away.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { CACHE, needPackages, unpackPackages, UserError } from './debian.mjs';
import { reportRows } from './reports.mjs';

const SOFTIOMMU = new URL('../dist/cli/main.js', import.meta.url).pathname;
const SOURCE = 'examples/buggy/explore/leak-on-error.c';
const PACKAGES = ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1'];
const WORKERS = 3;
const KILLS = 6;

export async function explore(options) {
  if (!needPackages({ gcc: 'builds the program' }, options.install)) return 2;
  const home = join(CACHE, 'redis');
  if (!existsSync(join(home, 'usr/bin/redis-server'))) unpackPackages(PACKAGES, home);
  const program = join(CACHE, 'leak-on-error');
  mkdirSync(CACHE, { recursive: true });
  const cc = spawnSync('gcc', ['-D_GNU_SOURCE', '-o', program, SOURCE], { encoding: 'utf8' });
  if (cc.status !== 0) throw new UserError(cc.stderr);

  const alone = start(program, ['--depth', '2']);
  const wanted = await alone.ended;
  console.log(
    `alone: ${wanted.json.tried} failures tried, ${wanted.json.findings.length} findings`,
  );
  const results = [];
  for (const [name, judge] of [
    ['three workers, some of which are killed, find what one finds alone', killing],
    ['a queue that goes away ends in a line, and what was found is told', vanishing],
  ]) {
    const server = await startServer(home);
    const reason = await judge({ server, program, wanted, kills: Number(options.kills ?? KILLS) });
    server.child.kill('SIGKILL');
    console.log(`${reason ? 'FAILED' : 'passed'} ${name}`);
    results.push({ suite: 'explore', name, ...(reason && { reason }) });
  }
  return reportRows(results, options);
}

async function killing({ server, program, wanted, kills }) {
  const args = ['--depth', '2', '--queue', server.address];
  const workers = Array.from({ length: WORKERS }, () => start(program, args));
  let killed = 0;
  for (let seed = 7; killed < kills; killed++) {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    await new Promise((resolve) => setTimeout(resolve, 1500 + (seed % 2000)));
    const nth = seed % WORKERS;
    if (workers[nth].child.exitCode !== null) break;
    workers[nth].child.kill('SIGKILL');
    workers[nth] = start(program, args);
  }
  console.log(`${killed} workers killed`);
  if (killed === 0) return 'nobody was killed: the exploration was over before';
  for (const { ended } of workers) {
    const { json, status, said } = await ended;
    if (status !== 1) return `exit ${status}: ${said}`;
    if (JSON.stringify(json) !== JSON.stringify(wanted.json)) {
      return `it tells ${JSON.stringify(json)}, alone it was ${JSON.stringify(wanted.json)}`;
    }
  }
  return undefined;
}

async function vanishing({ server, program }) {
  const worker = start(program, ['--depth', '2', '--queue', server.address]);
  await new Promise((resolve) => setTimeout(resolve, 12_000));
  server.child.kill('SIGKILL');
  const { json, status, said } = await worker.ended;
  if (status !== 125) return `exit ${status}: ${said}`;
  if (!/^softiommu: the queue at 127\.0\.0\.1:\d+ is gone: .*\n$/.test(said))
    return `it says ${said}`;
  if (json.tried === 0) return 'nothing of what was tried is told';
  return json.left > 0 ? undefined : 'it was over before the queue went';
}

/** An exploration, and what comes of it. */
function start(program, args) {
  const argv = [SOFTIOMMU, 'explore', '--json', '--jobs', '1', ...args, '--', program];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, said] = ['', ''];
  child.stdout.on('data', (data) => (out += data));
  child.stderr.on('data', (data) => (said += data));
  const ended = new Promise((resolve) => {
    child.on('close', (status) => resolve({ status, said, json: out && JSON.parse(out) }));
  });
  return { child, ended };
}

async function startServer(home) {
  const port = await freePort();
  const args = ['--port', String(port), '--save', '', '--bind', '127.0.0.1'];
  const env = { ...process.env, LD_LIBRARY_PATH: join(home, 'usr/lib/x86_64-linux-gnu') };
  const child = spawn(join(home, 'usr/bin/redis-server'), args, { stdio: 'ignore', env });
  for (let tries = 0; !(await answers(port)); tries++) {
    if (tries > 50 || child.exitCode !== null) throw new UserError('redis-server does not start');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return { child, address: `redis://127.0.0.1:${port}` };
}
function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}
