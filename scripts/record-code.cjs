/**
 * `node record-code.cjs BUNDLES`: runs the command in this process, several times, and keeps what V8 has compiled by then; in the
 * kernel thread it starts, and in a launcher, the same.
 *
 * A file of the form CommonJS, for so are those it takes the place of.
 */
const { writeFileSync } = require('node:fs');
const { join } = require('node:path');
const threads = require('node:worker_threads');
const { setFlagsFromString } = require('node:v8');

/** The last one ends the process, and no other. */
const STARTS = [['topology'], ['run', '--', 'true']];

// Or what is not used for a while is compiled code no longer. The flag is as it was when code is kept: it is a part of what V8 compares.
setFlagsFromString('--no-flush-bytecode');

const bundles = threads.isMainThread ? process.argv[2] : threads.workerData.recordedBundles;
const { cacheOf, compileBundle } = require(join(bundles, 'code-cache.cjs'));

function record(name) {
  const bundle = join(bundles, `${name}.cjs`);
  const { script, run } = compileBundle(bundle);
  const keep = () => {
    setFlagsFromString('--flush-bytecode');
    writeFileSync(cacheOf(bundle), script.createCachedData());
  };
  return { run, keep };
}

function recordCommand() {
  const { run, keep } = record('main');
  const { Worker } = threads;
  threads.Worker = class extends Worker {
    constructor(_file, options) {
      const workerData = { ...options.workerData, recordedBundles: bundles };
      super(__filename, { ...options, workerData });
    }
  };
  process.on('exit', keep);
  const starts = STARTS.map((words) => [
    process.execPath,
    join(bundles, '../cli/main.js'),
    ...words,
  ]);
  const next = () => {
    const argv = starts.shift();
    if (!argv) return;
    process.argv = argv;
    run();
  };
  process.on('beforeExit', next);
  next();
}

function recordKernelThread() {
  const { run, keep } = record('kernel-thread');
  const { parentPort } = threads;
  const post = parentPort.postMessage.bind(parentPort);
  parentPort.postMessage = (news) => {
    if (['exit', 'signal', 'failed'].includes(news.kind)) keep(); // the last it says
    post(news);
  };
  run();
}

if (threads.isMainThread) recordCommand();
else recordKernelThread();
