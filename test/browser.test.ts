/** The library runs in a browser: bundled without any node: module, in a real headless Chromium. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';

const CHROMIUM = [
  process.env['CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => path !== '' && existsSync(path));

/** Attach, map, DMA through the device and through /dev/iommu, and a refusal with its reason. */
const SCENARIO = `
import { Machine, SoftIommuError } from './src/index.ts';
import { IOMMU_IOAS_ALLOC, IOMMU_IOAS_MAP, iommu_ioas_alloc, iommu_ioas_map } from './src/uapi/index.ts';

function run() {
  const out = {};
  const machine = new Machine('preset:two-iommus');
  const device = machine.device('0000:00:04.0');
  const domain = device.allocDomain();
  const memory = device.allocMemory(4096);
  device.claim();
  device.attach(domain);
  domain.map(0x10000n, memory);
  device.busMaster = true;
  device.dmaWrite(0x10000n, new TextEncoder().encode('from a browser'));
  out.memory = new TextDecoder().decode(memory.bytes.subarray(0, 14));
  out.levels = device.explain(0x10000n).walk.length;
  try {
    machine.device('0000:00:05.0').claim();
    machine.device('0000:00:05.0').attach(domain);
  } catch (error) {
    if (!(error instanceof SoftIommuError)) throw error;
    out.refusal = { code: error.code, errno: error.errno, reason: error.reason };
  }
  const program = machine.program();
  const iommu = program.open('/dev/iommu');
  const ioas = iommu_ioas_alloc.make();
  program.ioctl(iommu, IOMMU_IOAS_ALLOC, ioas);
  try {
    program.ioctl(iommu, IOMMU_IOAS_MAP, iommu_ioas_map.make({ ioas_id: ioas.out_ioas_id, flags: 0x86, length: 4096n }));
  } catch (error) {
    if (!(error instanceof SoftIommuError)) throw error;
    out.ioctl = { syscall: error.syscall, code: error.code };
  }
  return out;
}
try {
  document.body.textContent = 'RESULT ' + JSON.stringify(run()) + ' END';
} catch (error) {
  document.body.textContent = 'FAILED ' + error.stack;
}
`;

let script = '';
const folder = mkdtempSync(join(tmpdir(), 'softiommu-browser-'));
beforeAll(async () => {
  const out = await build({
    stdin: { contents: SCENARIO, resolveDir: process.cwd(), loader: 'ts' },
    bundle: true,
    platform: 'browser',
    format: 'iife',
    target: 'es2022',
    write: false,
    metafile: true,
  });
  expect(out.warnings).toEqual([]);
  script = out.outputFiles[0]!.text;
}, 60_000);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

test('the library bundles without a node: module and without native code', () => {
  expect(script).not.toMatch(/require\("|from "node:|koffi|iced-x86/);
});

test.skipIf(CHROMIUM === undefined)(
  'the library attaches, maps, transfers and refuses in headless Chromium (skipped where none is installed)',
  { timeout: 120_000 },
  () => {
    const page = join(folder, 'page.html');
    const inline = script.replaceAll('</script', '<\\/script');
    writeFileSync(page, `<!doctype html><meta charset=utf-8><body><script>${inline}</script>`);
    const args = [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      `--user-data-dir=${join(folder, 'profile')}`,
      '--dump-dom',
      `file://${page}`,
    ];
    const dom = execFileSync(CHROMIUM!, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 100_000,
    });
    const result = /RESULT (.*) END/.exec(dom)?.[1];
    expect(dom).not.toContain('FAILED');
    expect(JSON.parse(result ?? 'null')).toEqual({
      memory: 'from a browser',
      levels: 4,
      refusal: {
        code: 'EINVAL',
        errno: -22,
        reason: 'the unit cannot walk a table of that many levels',
      },
      ioctl: { syscall: 'ioctl IOMMU_IOAS_MAP', code: 'EOPNOTSUPP' },
    });
  },
);
