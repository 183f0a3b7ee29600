/**
 * How the views of a report look, light and dark, against pictures of them: of a program whose every event is known, so that
 * nothing but the page itself makes a difference. `SOFTIOMMU_NEW_PICTURES=1` renews them; look at what they show then.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { reportPage } from '../../src/insight/report/page.ts';
import { reservedFacts } from '../../src/insight/report/reserved-facts.ts';
import { eventLine } from '../../src/insight/trace/format.ts';
import { describeTree } from '../../src/insight/views/tree.ts';
import { must } from '../../src/testing/base/must.ts';
import { MAPPED, TracedGuest } from '../../src/testing/machine/traced-guest.ts';
import { hasBrowser, startBrowser } from './browser.ts';
import { CHECKOUT, DIST } from './project.ts';

const FONT = '/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf';
const PICTURES = join(CHECKOUT, 'test/golden/report');
const RENEW = process.env['SOFTIOMMU_NEW_PICTURES'] === '1';
/** Of all pixels, in which letters may be drawn otherwise by another release of the browser. */
const MOST_OTHERS = 0.01;

/** The page of a guest whose device goes through a mapping, beyond it, and after its end. */
function page(): { readonly html: string; readonly fault: number } {
  const guest = new TracedGuest();
  guest.dma(MAPPED);
  guest.dma(MAPPED + 0x5000n);
  must(guest.unmap(guest.mappings, { iova: MAPPED, size: 0x2000n }).rc);
  guest.dma(MAPPED + 8n);
  const lines = guest.heard.map((stamped) =>
    eventLine({ ...stamped, hostNs: stamped.seq * 10_000 }),
  );
  const part = (name: string): string => readFileSync(join(DIST, 'page', name), 'utf8');
  const parts = { script: part('main.js'), styles: part('styles.css') };
  const facts = {
    title: './driver --self-test',
    ending: 'Exit status 1',
    topology: describeTree(guest.machine),
    reserved: reservedFacts(guest.machine),
    version: '1.2.3',
  };
  const html = reportPage(parts, facts, gzipSync(lines.join('\n')).toString('base64'));
  return { html, fault: guest.heard.findLast(({ event }) => event.kind === 'fault')!.seq };
}

// Skipped where there is no Chromium, or other letters than the pictures have.
describe.skipIf(!hasBrowser || !existsSync(FONT))('as in its picture', () => {
  const folder = mkdtempSync(join(tmpdir(), 'looks-'));
  const file = join(folder, 'report.html');
  let lastFault = 0;
  let browser: Browser;
  beforeAll(async () => {
    const { html, fault } = page();
    lastFault = fault;
    writeFileSync(file, html);
    browser = await startBrowser();
  });
  afterAll(async () => {
    await browser.close();
    rmSync(folder, { recursive: true });
  });

  async function picture(hash: string, colorScheme: 'light' | 'dark'): Promise<Buffer> {
    const shown = await browser.newPage({ colorScheme, viewport: { width: 900, height: 560 } });
    await shown.goto(`${pathToFileURL(file).href}#${hash}`);
    await shown.waitForSelector('[data-drawn]', { state: 'attached' });
    const taken = await shown.screenshot({ animations: 'disabled', caret: 'hide' });
    await shown.close();
    return taken;
  }
  /** The part of the pixels that are of another colour. */
  async function difference(a: Buffer, b: Buffer): Promise<number> {
    const blank = await browser.newPage();
    const [first, second] = [a, b].map((png) => `data:image/png;base64,${png.toString('base64')}`);
    const part = await blank.evaluate<number>(`(async () => {
      const pixels = async (url) => {
        const image = new Image();
        image.src = url;
        await image.decode();
        const canvas = new OffscreenCanvas(image.width, image.height);
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        return context.getImageData(0, 0, image.width, image.height).data;
      };
      const [a, b] = [await pixels(${JSON.stringify(first)}), await pixels(${JSON.stringify(second)})];
      if (a.length !== b.length) return 1;
      let others = 0;
      for (let n = 0; n < a.length; n += 4) {
        if ([0, 1, 2].some((of) => Math.abs(a[n + of] - b[n + of]) > 40)) others++;
      }
      return others / (a.length / 4);
    })()`);
    await blank.close();
    return part;
  }

  test.each([
    ['findings', 'light', 'view=findings'],
    ['addresses', 'light', 'view=addresses'],
    ['addresses', 'dark', 'view=addresses'],
    ['timeline', 'light', 'view=timeline&event=FAULT'],
    ['timeline', 'dark', 'view=timeline&event=FAULT'],
    ['topology', 'light', 'view=topology'],
    ['events', 'dark', 'view=events'],
  ] as const)('%s, %s', async (view, scheme, hash) => {
    const golden = join(PICTURES, `${view}-${scheme}.png`);
    const taken = await picture(hash.replace('FAULT', String(lastFault)), scheme);
    if (RENEW) writeFileSync(golden, taken);
    expect(await difference(taken, readFileSync(golden))).toBeLessThan(MOST_OTHERS);
  });
  test('a picture of another view is another picture', async () => {
    const [topology, events] = ['topology-light', 'events-dark'].map((name) =>
      readFileSync(join(PICTURES, `${name}.png`)),
    );
    expect(await difference(topology!, events!)).toBeGreaterThan(0.5);
    expect(await difference(await picture('view=findings', 'light'), topology!)).toBeGreaterThan(
      MOST_OTHERS,
    );
  });
});
