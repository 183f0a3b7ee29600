/** The page of a run in a real browser: what it shows, by keyboard and by address, and what it must never do. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasBrowser, startBrowser } from './browser.ts';
import { command, compile, softiommu } from './environments.ts';

const folder = mkdtempSync(join(tmpdir(), 'report-'));
const PROGRAM = compile('examples/edu-dma.c');
const HOSTILE = '</script><script>document.title="taken"</script><img src=x onerror=alert(1)>';

/** A page made by `run --report`, and one of a trace of the same, whose program has a hostile name. */
const pages = { run: join(folder, 'run.html'), trace: join(folder, 'trace.html') };
const traced = join(folder, 'trace.jsonl');

afterAll(() => rmSync(folder, { recursive: true }));

function report(...args: string[]) {
  const { status, stdout, stderr } = command(['report', ...args]);
  return { status, said: (stdout + stderr).replaceAll(folder, '') };
}

/** What a page says of its run besides the trace. */
function factsOf(page: string): Record<string, unknown> {
  const [, json = ''] = /id="facts">(.*?)<\/script>/s.exec(readFileSync(page, 'utf8')) ?? [];
  return JSON.parse(json) as Record<string, unknown>; // cast: it is looked at
}

describe('made', () => {
  test('by a run, whose status and output stay', () => {
    const run = softiommu([PROGRAM], { flags: [`--report=${pages.run}`, `--trace=${traced}`] });
    expect([run.stderr, run.status]).toEqual(['', 0]);
    expect(readFileSync(pages.run, 'utf8')).toContain('report of softiommu');
  });
  test('by a run that crashes: its end, and what it was refused', () => {
    const page = join(folder, 'crash.html');
    const script = 'exec 3<>/dev/vfio/9; kill -SEGV $$';
    const run = softiommu(['bash', '-c', script], { flags: [`--report=${page}`] });
    expect(run.signal).toBe('SIGSEGV');
    const facts = factsOf(page);
    expect(facts['ending']).toMatch(/SIGSEGV/);
    expect(String(facts['explanation'])).toContain('/dev/vfio/9');
  });
  test('of a trace; one that was cut off is shown as far as it goes', () => {
    const lines = readFileSync(traced, 'utf8').trimEnd().split('\n');
    writeFileSync(traced, `${[...lines, '{"seq":9999,"ev'].join('\n')}\n`);
    expect(report(traced).status).toBe(0);
  });
  test('again over an earlier one, and over nothing else', () => {
    expect(report(traced)).toMatchObject({ status: 0 });
    writeFileSync(join(folder, 'thesis.html'), '<p>mine</p>');
    const refused = report(traced, '-o', join(folder, 'thesis.html'));
    expect(refused.status).not.toBe(0);
    expect(refused.said).toMatch(/thesis\.html: it is there already and is no report of softiommu/);
    expect(readFileSync(join(folder, 'thesis.html'), 'utf8')).toBe('<p>mine</p>');
  });
  test('into no pipe that nobody reads, no directory, no program', () => {
    const pipe = join(folder, 'pipe');
    expect(spawnSync('mkfifo', [pipe]).status).toBe(0);
    const program = join(folder, 'program');
    writeFileSync(program, '', { mode: 0o755 });
    const said = [pipe, folder, program].map((file) => report(traced, '-o', file).said);
    expect(said.map((line) => line.replace(/^.*written to \S*: /, '').trimEnd())).toEqual([
      'there is nobody at the other end',
      'it is a directory',
      'it is a program, and --report would overwrite it',
    ]);
  });
  test.each([
    ['no file', join(folder, 'nothing.jsonl'), '/nothing.jsonl: there is no such file'],
    ['no trace', '/etc/hostname', '/etc/hostname: no trace of softiommu'],
    ['a directory', folder, 'it is a directory'],
  ])('%s is a clear line', (_what, file, line) => {
    const { status, said } = report(file, '-o', join(folder, 'out.html'));
    expect(status).not.toBe(0);
    expect(said.toLowerCase()).toContain(line.toLowerCase());
    expect(said.trimEnd().split('\n')).toHaveLength(1);
  });
  test('a page that cannot be written is said before anything runs', () => {
    const run = softiommu(['touch', join(folder, 'ran')], { flags: ['--report=/proc/nowhere'] });
    expect(run.status).not.toBe(0);
    expect(run.stderr).toMatch(/^softiommu: the report cannot be written to \/proc\/nowhere: /);
    expect(spawnSync('ls', [join(folder, 'ran')]).status).not.toBe(0);
  });
});

// Skipped where there is no Chromium.
describe.skipIf(!hasBrowser)('shown', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser.close());

  /** What the page asked for besides itself, and the mistakes of its script. */
  const asked: string[] = [];
  async function open(file: string, hash = '', colorScheme: 'dark' | 'light' = 'light') {
    const page = await browser.newPage({ colorScheme });
    page.on('request', (request) => asked.push(request.url()));
    page.on('pageerror', (error) => asked.push(error.message));
    await page.goto(`${pathToFileURL(file).href}${hash}`);
    await page.waitForSelector('[data-drawn]', { state: 'attached' });
    return page;
  }
  const tab = (page: Page, name: string) => page.getByRole('tab', { name });

  test('findings first: the faults of the run, with their event', async () => {
    const page = await open(pages.run);
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe(PROGRAM);
    expect(await page.locator('header').textContent()).toContain('Exit status 0.');
    await page.getByRole('button', { name: /fault 0x71/ }).click();
    expect(page.url()).toMatch(/#view=events&event=\d+$/);
    const details = page.getByRole('complementary');
    expect(await details.textContent()).toMatch(
      /Page walk[^]*level 1, entry 4 at 0x\w+ = 0x0: empty/,
    );
  });
  test('by keyboard alone: to another view, and through the events', async () => {
    const page = await open(pages.run);
    await tab(page, 'Findings').focus();
    await page.keyboard.press('ArrowLeft');
    expect(await tab(page, 'Events').getAttribute('aria-selected')).toBe('true');
    await page.getByRole('listbox').focus();
    await page.keyboard.press('End');
    const last = await page.getByRole('option', { selected: true }).getAttribute('aria-posinset');
    const all = await page.locator('output').textContent();
    expect(all).toBe(`${last} of ${last} events`);
    await page.keyboard.press('Home');
    expect(await page.getByRole('listbox').getAttribute('aria-activedescendant')).toBe('event-0');
  });
  test('a search is in the address, and an address is a search', async () => {
    const page = await open(pages.run, '#view=events&search=VFIO_IOMMU_MAP_DMA&kinds=leave');
    expect(await page.locator('output').textContent()).toMatch(/^1 of \d+ events$/);
    await page.getByRole('searchbox').fill('nothing has these words');
    await expect.poll(() => page.url()).toContain('search=nothing+has+these+words');
    await expect.poll(() => page.getByRole('option').count()).toBe(0);
    expect((await open(pages.run, '#view=nonsense&event=x')).url()).toContain('nonsense');
  });
  test('addresses: what DMA missed, among what was mapped at that moment', async () => {
    const page = await open(pages.run, '#view=addresses');
    const rows = page.locator('tbody tr.fault');
    expect(await rows.allTextContents()).toContainEqual(expect.stringMatching(/^0x900000DMA/));
    expect(await page.locator('tbody tr.reserved').allTextContents()).toContainEqual(
      '0xfee00000 to 0xfeefffff1 MiBreserved: interrupts (msi)',
    );
    const slider = page.getByRole('slider');
    for (let step = 0; step < 25; step++) await slider.press('ArrowLeft');
    expect(await page.locator('tbody tr.mapping').textContent()).toMatch(
      /^0x100000 to 0x101fff8 KiBto 0x[0-9a-f]+, read and write, 2 transfers\d+$/,
    );
  });
  test('a timeline that draws, zooms, and leads to the event under the pointer', async () => {
    const page = await open(pages.run, '#view=timeline');
    const canvas = page.getByRole('img', { name: /tracks: process \d+.*device 0000:00:04.0/ });
    const drawn = (): Promise<string> =>
      page.evaluate<string>("document.querySelector('canvas').toDataURL()");
    const before = await drawn();
    await canvas.focus();
    await page.keyboard.press('+');
    await expect.poll(drawn).not.toBe(before);
    await page.keyboard.press('0');
    await expect.poll(drawn).toBe(before);
    const box = (await canvas.boundingBox())!;
    await page.mouse.click(box.x + 172, box.y + 15);
    const details = page.getByRole('complementary');
    await expect.poll(() => details.textContent()).toMatch(/^Event \d+ Close\[pid +\d+\] /);
  });
  test('arrows on the timeline: the ways of the event that is chosen', async () => {
    const drawn = (page: Page): Promise<string> =>
      page.evaluate<string>("document.querySelector('canvas').toDataURL()");
    const findings = await open(pages.run);
    await findings.getByRole('button', { name: /fault 0x71/ }).click();
    const fault = /event=(\d+)/.exec(findings.url())![1]!;
    const page = await open(pages.run, `#view=timeline&event=${fault}`);
    const arrowColour = await page.evaluate<number>(`(() => {
      const canvas = document.querySelector('canvas');
      canvas.style.color = 'var(--chosen)';
      const [r, g, b] = getComputedStyle(canvas).color.match(/\\d+/g).map(Number);
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      let count = 0;
      for (let n = 0; n < data.length; n += 4)
        if (data[n] === r && data[n + 1] === g && data[n + 2] === b) count++;
      return count;
    })()`);
    expect(arrowColour).toBeGreaterThan(50);
    expect(await drawn(page)).not.toBe(await drawn(await open(pages.run, '#view=timeline')));
  });
  test('topology: the machine and its domains', async () => {
    const page = await open(pages.run, '#view=topology');
    expect(await page.locator('pre').textContent()).toContain('0000:00:04.0 edu');
    expect(await page.locator('tbody').textContent()).toContain('0000:00:04.0');
  });
  test('in the colours the reader wants', async () => {
    const colourOf = async (scheme: 'dark' | 'light'): Promise<string> => {
      const page = await open(pages.run, '', scheme);
      return page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    };
    expect([await colourOf('light'), await colourOf('dark')]).toEqual([
      'rgb(255, 255, 255)',
      'rgb(22, 24, 29)',
    ]);
  });
  test('a trace that was cut off says so', async () => {
    const page = await open(pages.trace);
    expect(await page.getByRole('alert').textContent()).toMatch(/^1 line of the trace cannot be/);
  });
  test('what programs name things is text, never part of the page', async () => {
    const file = join(folder, 'hostile.html');
    const run = softiommu(['cat', `/dev/vfio/${HOSTILE}`], { flags: [`--report=${file}`] });
    expect(run.status).toBe(1);
    const page = await open(file, '#view=events');
    expect(await page.title()).toContain(HOSTILE);
    expect(await page.locator('img').count()).toBe(0);
  });
  test('nothing else was fetched by any of them, and no script failed', () => {
    expect(asked.filter((url) => !url.startsWith(pathToFileURL(folder).href))).toEqual([]);
  });
});
