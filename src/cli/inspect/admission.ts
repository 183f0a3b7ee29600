/**
 * Who may look at a run: whoever has its address, from the page itself. Other pages of the same browser, and names that lead to
 * this machine (DNS rebinding), are turned away before anything is looked up.
 */
import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** What is asked for. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}
/** What is behind the token, or the status that refuses it. */
export type Admission = { readonly resource: string } | { readonly status: 403 | 404 | 405 };

/** `port`: where we listen; `token`: the first part of every path. */
export function admit({ method, path, headers }: Asked, port: number, token: string): Admission {
  if (!isFromThePage(headers, port)) return { status: 403 };
  const [, given = '', ...rest] = path.split('/');
  if (!isSame(given, token) || rest.length === 0) return { status: 404 };
  if (method !== 'GET') return { status: 405 };
  return { resource: rest.join('/') };
}

const HTTP_PORT = 80;
function isFromThePage(headers: IncomingHttpHeaders, port: number): boolean {
  const { host = '', origin, 'sec-fetch-site': site } = headers;
  const names = ['127.0.0.1', 'localhost'];
  // A browser leaves out the port that http has anyhow.
  const hosts = [...names.map((name) => `${name}:${port}`), ...(port === HTTP_PORT ? names : [])];
  if (!hosts.includes(host)) return false;
  if (origin !== undefined && origin !== `http://${host}`) return false;
  // Browsers say so; 'none': the address was typed.
  return site === undefined || site === 'same-origin' || site === 'none';
}
/** In a time that says nothing of where they differ. */
function isSame(given: string, token: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}
