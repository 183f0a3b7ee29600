/**
 * `node scripts/bundle.mjs FOLDER`: what runs by itself, each program in one file, with what V8 makes of it beside it
 * (src/host/sys/code-cache.ts). Packages that every command line or machine file needs are in it, and their licenses beside it.
 *
 * What plugins import of the library must be the very modules that run. So a program that loads plugins has the library in its
 * bundle, and the files of plugin-entries/ hand on what is in there. The kernel thread is bundled without it, too: where nothing
 * loads a module later, its constants stay constants, and a hit in the IOTLB takes 2.6 ns instead of 8.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** Programs, by the file that starts each. */
const PROGRAMS = [
  { name: 'cli/main', from: 'cli/main', hasLibrary: true },
  { name: 'host/loop/kernel-thread', from: 'host/loop/kernel-thread', hasLibrary: false },
  {
    name: 'host/loop/kernel-thread-with-library',
    from: 'host/loop/kernel-thread',
    hasLibrary: true,
  },
  { name: 'host/launch/launcher-main', from: 'host/launch/launcher-main', hasLibrary: false },
];
/** Packages that stay outside: native code, what few runs need, and what is no dependency of ours. */
const OUTSIDE = ['koffi', 'iced-x86', '@bufbuild/protobuf', 'bullmq'];
const LIBRARY = "globalThis[Symbol.for('softiommu.library')]";
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const outdir = resolve(process.argv[2]);
const bundles = join(outdir, 'bundles');
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const ENTRIES = Object.values(exports)
  .map((entry) => /^\.\/dist\/(.*)\.js$/.exec(entry.default ?? '')?.[1])
  .filter(Boolean);
const COMMON = {
  absWorkingDir: root,
  bundle: true,
  packages: 'external',
  platform: 'node',
  target: 'node20.19',
  logLevel: 'warning',
};

/** One file for all bundles: what starts them, and import() for them. */
const outsideOfBundles = {
  name: 'code-cache',
  setup({ onResolve }) {
    onResolve({ filter: /\/code-cache\.ts$/ }, () => ({
      path: './code-cache.cjs',
      external: true,
    }));
  },
};

/** commander can start programs, which no command of ours has it do; what Node loads for that is 3 % of its start. */
const processesWhenStarted = {
  name: 'commander-starts-no-programs',
  setup({ onResolve, onLoad }) {
    const filter = /^node:child_process$/;
    onResolve({ filter }, ({ importer }) =>
      importer.includes('/node_modules/commander/')
        ? { path: 'child_process', namespace: 'when-started' }
        : undefined,
    );
    onLoad({ filter: /./, namespace: 'when-started' }, () => ({
      contents: "exports.spawn = (...words) => require('node:child_process').spawn(...words);",
    }));
  },
};

// Caches of earlier bundles as well.
for (const folder of ['bundles', 'plugin-entries']) {
  rmSync(join(outdir, folder), { recursive: true, force: true });
}
const bundled = new Set();
for (const program of PROGRAMS) {
  const { metafile } = await bundleProgram(program);
  for (const file of Object.keys(metafile.inputs)) bundled.add(packageOf(file));
  writeStart(program);
}
writeLicenses();
await build({
  ...COMMON,
  entryPoints: ['src/host/sys/code-cache.ts'],
  outfile: join(bundles, 'code-cache.cjs'),
  format: 'cjs',
});
await writePluginEntries();
await build({
  ...COMMON,
  // The page of reports, which is put together from these two.
  entryPoints: ['src/page/main.tsx', 'src/page/styles.css'],
  tsconfig: 'src/page/tsconfig.json',
  outdir: join(outdir, 'page'),
  packages: 'bundle',
  minify: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
});
const { status } = spawnSync(process.execPath, [join(root, 'scripts/code-cache.mjs'), outdir], {
  stdio: 'inherit',
});
process.exitCode = status ?? 1;

/** The whole program in one file. */
async function bundleProgram({ name, from, hasLibrary }) {
  const load = (entry) => `${JSON.stringify(entry)}: () => import('./src/${entry}.ts'),`;
  const library = hasLibrary ? `${LIBRARY} = {${ENTRIES.map(load).join('\n')}};` : '';
  const outfile = bundleOf(name);
  const result = await build({
    ...COMMON,
    packages: 'bundle',
    external: OUTSIDE,
    metafile: true,
    stdin: { contents: `${library}\nimport './src/${from}.ts';`, resolveDir: root, loader: 'ts' },
    outfile,
    format: 'cjs',
    plugins: [outsideOfBundles, processesWhenStarted],
    define: { 'import.meta.url': 'bundleUrl' },
    banner: { js: "const bundleUrl = require('node:url').pathToFileURL(__filename).href;" },
  });
  writeFileSync(outfile, asAscii(readFileSync(outfile, 'utf8')));
  return result;
}
/** A byte a character, as src/host/sys/code-cache.ts reads it: in texts and regular expressions an escape is the same. */
function asAscii(text) {
  const escape = (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return text.replace(/[^\0-\x7f]/g, escape);
}
function bundleOf(name) {
  return join(bundles, `${name.split('/').at(-1)}.cjs`);
}

/** 'zod', of node_modules/zod/v4/core/core.js; undefined: it is ours. */
function packageOf(file) {
  return /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1];
}
/** What the licenses of packages in the bundles ask for. */
function writeLicenses() {
  bundled.delete(undefined);
  const texts = [...bundled].sort().map((name) => {
    const folder = join(root, 'node_modules', name);
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    return `${name}\n\n${readFileSync(join(folder, file), 'utf8')}`;
  });
  writeFileSync(join(bundles, 'LICENSES'), texts.join(`\n${'-'.repeat(78)}\n\n`));
}

/** The file by which a program is known: no module, for which Node would load as much again as it starts with. */
function writeStart({ name }) {
  const isCommand = name === 'cli/main';
  const file = join(outdir, `${name}.${isCommand ? 'js' : 'cjs'}`);
  mkdirSync(dirname(file), { recursive: true });
  const text = (path) => JSON.stringify(relative(dirname(file), path));
  const [cache, bundle] = [text(join(bundles, 'code-cache.cjs')), text(bundleOf(name))];
  const command = isCommand ? ', process.argv[2]' : '';
  const run = `require(${cache}).runBundle(require.resolve(${bundle})${command});\n`;
  writeFileSync(file, isCommand ? `#!/usr/bin/env node\n${run}` : run);
  if (!isCommand) return;
  chmodSync(file, 0o755);
  writeFileSync(join(dirname(file), 'package.json'), '{ "type": "commonjs" }\n');
}

/** Modules with the names of the library's entries, whose exports are those of the program they are loaded into. */
async function writePluginEntries() {
  const { metafile } = await build({
    ...COMMON,
    entryPoints: ENTRIES.map((name) => `src/${name}.ts`),
    outdir: 'none',
    format: 'esm',
    splitting: true,
    write: false,
    metafile: true,
  });
  for (const { entryPoint, exports: names } of Object.values(metafile.outputs)) {
    const entry = /^src\/(.*)\.ts$/.exec(entryPoint ?? '')?.[1];
    if (!ENTRIES.includes(entry)) continue;
    const file = join(outdir, 'plugin-entries', `${entry}.js`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(
      file,
      `const library = await ${LIBRARY}[${JSON.stringify(entry)}]();\n` +
        `export const { ${names.join(', ')} } = library;\n`,
    );
  }
}
