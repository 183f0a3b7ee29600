/**
 * `npm start`: two ordinary VFIO programs on the simulated machine, with what happened shown beside them.
 *
 * Where this host cannot run foreign programs, one line says why and the same scenario runs inside the process.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const main = join(root, 'dist/cli/main.js');
const cache = join(root, '.cache');

function title(text) {
  console.log(`\n--- ${text}`);
}

function build() {
  if (existsSync(main)) return;
  const { status } = spawnSync(process.execPath, [join(root, 'scripts/build.mjs')], {
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}

/** The first compiler there is; undefined when there is none. */
function compileExample() {
  const source = join(root, 'examples/edu-dma.c');
  const program = join(cache, 'edu-dma');
  mkdirSync(cache, { recursive: true });
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return program;
  for (const compiler of ['gcc', 'cc', 'clang']) {
    const { status, error } = spawnSync(compiler, ['-O1', '-o', program, source], {
      stdio: 'inherit',
    });
    if (!error && status === 0) return program;
  }
  return undefined;
}

/** Run one program; its trace goes to a file of JSON lines, from which the summary is made. */
function run(name, argv) {
  const events = join(cache, `${name}.jsonl`);
  rmSync(events, { force: true });
  title(`softiommu run -- ${argv.join(' ')}`);
  const { status } = spawnSync(
    process.execPath,
    [main, 'run', `--trace=${events}`, '--', ...argv],
    { stdio: 'inherit' },
  );
  if (status !== 0) {
    console.log(`(ended with status ${status})`);
    process.exitCode = 1;
  }
  return readFileSync(events, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

function showTrace(argv) {
  title(`the same, traced: softiommu run --trace -- ${argv.join(' ')}`);
  const { stderr } = spawnSync(process.execPath, [main, 'run', '--trace', '--', ...argv], {
    encoding: 'utf8',
  });
  const lines = stderr.trim().split('\n');
  const shown = lines.filter((line) => !/^\s*·|: invalidate /.test(line)).slice(0, 90);
  console.log(shown.join('\n'));
  if (lines.length > shown.length) console.log(`… ${lines.length - shown.length} more lines`);
}

function summary(name, events) {
  const all = events.map((entry) => entry.event ?? entry);
  const count = (kind, test = () => true) =>
    all.filter((event) => event.kind === kind && test(event)).length;
  const faults = all.filter((event) => event.kind === 'fault');
  const some = (number, what) => `${number} ${what}${number === 1 ? '' : 's'}`;
  title(
    `${name}: ${some(
      count('leave', ({ what }) => what === 'syscall'),
      'call',
    )}, ${count('mmio')} register accesses, ${some(count('map'), 'map')}, ${some(
      count('dma', (dma) => dma.ok),
      'DMA transfer',
    )}, ${some(count('interrupt'), 'interrupt')}, ${some(faults.length, 'fault')}`,
  );
  for (const fault of faults) console.log(`    ${fault.text}`);
}

function canRunPrograms() {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'doctor'], {
    encoding: 'utf8',
  });
  if (status === 0) return true;
  const lines = stdout.split('\n');
  const at = lines.findIndex((line) => line.startsWith('missing'));
  const words = (line) =>
    line
      .trim()
      .replace(/^missing +|-> /g, '')
      .replace(/ {2,}/g, ': ');
  const missing =
    at < 0
      ? stderr.trim()
      : lines
          .slice(at, at + 2)
          .map(words)
          .join('; ');
  console.log(`This host cannot run foreign programs: ${missing}`);
  return false;
}

build();
if (canRunPrograms()) {
  const python = !spawnSync('python3', ['--version']).error;
  const compiled = compileExample();
  if (compiled) {
    const events = run('edu-dma-c', [compiled]);
    showTrace([compiled]);
    summary('edu-dma.c', events);
  } else console.log('No C compiler: examples/edu-dma.c is left out (install gcc).');
  if (python) {
    const script = join(root, 'examples/edu-dma.py');
    summary('edu-dma.py', run('edu-dma-py', ['python3', script]));
  } else console.log('No python3: examples/edu-dma.py is left out.');
} else {
  title('the same scenario inside the process: examples/edu-dma.ts');
  const example = join(root, 'examples/edu-dma.ts');
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', example], {
    stdio: 'inherit',
    cwd: root,
  });
  process.exitCode = status ?? 1;
}
