/** The browser that tests show pages in: Debian's Chromium. */
import { chromium, type Browser } from 'playwright-core';
import { has } from './environments.ts';

const CHROMIUM = '/usr/bin/chromium';
export const hasBrowser = has(CHROMIUM);

export function startBrowser(): Promise<Browser> {
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath: CHROMIUM, args });
}
