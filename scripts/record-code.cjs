/**
 * `node record-code.cjs BUNDLES COMMAND…`: runs the command in this process, and keeps what V8 has compiled at its end; in the kernel
 * thread that it starts the same.
 *
 * A file of the form CommonJS, for so are those it takes the place of.
 */
const { writeFileSync } = require('node:fs');
const { join } = require('node:path');
const threads = require('node:worker_threads');
const { setFlagsFromString } = require('node:v8');

// Or what is not used for a while is compiled code no longer. The flag is as it was when code is kept: it is a part of what V8 compares.
setFlagsFromString('--no-flush-bytecode');

const bundles = threads.isMainThread ? process.argv[2] : threads.workerData.recordedBundles;
const { cacheOf, compileBundle } = require(join(bundles, 'code-cache.cjs'));

function record(name, command) {
  const bundle = join(bundles, `${name}.cjs`);
  const { script, run } = compileBundle(bundle, command);
  const keep = () => {
    setFlagsFromString('--flush-bytecode');
    writeFileSync(cacheOf(bundle, command), script.createCachedData());
  };
  return { run, keep };
}

function recordCommand() {
  const [node, , , ...words] = process.argv;
  const { run, keep } = record('main', words[0]);
  const { Worker } = threads;
  threads.Worker = class extends Worker {
    constructor(_file, options) {
      const workerData = { ...options.workerData, recordedBundles: bundles };
      super(__filename, { ...options, workerData });
    }
  };
  process.on('exit', keep);
  process.argv = [node, join(bundles, '../cli/main.js'), ...words];
  run();
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
