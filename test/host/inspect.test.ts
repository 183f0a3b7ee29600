/** The page of a run that goes on: in a real browser, and to those who should not see it. */
import { spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { hasBrowser, startBrowser } from './browser.ts';
import { command, compile, softiommu, startSoftiommu } from './environments.ts';
import { ended, newMark, nothingLeft } from './processes.ts';

/** A program is started meanwhile. */
const SLOW = { timeout: 60_000 };
const folder = mkdtempSync(join(tmpdir(), 'inspect-'));
const FAULTS = compile('examples/buggy/dma-after-unmap.c', '-O0', '-g');
const MAPS = compile('examples/any-backend.c');
afterAll(() => rmSync(folder, { recursive: true }));

const running = new Set<ChildProcess>();
afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
  running.clear();
});

interface Inspecting {
  readonly child: ChildProcess;
  readonly url: string;
  readonly over: ReturnType<typeof ended>;
}
/** A program under --inspect, from where it can be looked at on. */
async function inspect(script: string, ...flags: string[]): Promise<Inspecting> {
  const child = startSoftiommu(['sh', '-c', script], { flags: ['--inspect', ...flags] });
  running.add(child);
  const over = ended(child);
  const url = await new Promise<string>((resolve) => {
    let said = '';
    child.stderr!.on('data', (bytes: Buffer) => {
      said += bytes.toString();
      const found = /http:\/\/\S+\//.exec(said);
      if (found) resolve(found[0]);
    });
  });
  return { child, url, over };
}
/** A script that goes on when a file is there. */
const until = (name: string): string =>
  `while [ ! -e '${join(folder, name)}' ]; do sleep 0.1; done`;
const goOn = (name: string): void => writeFileSync(join(folder, name), '');

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}
function ask(url: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asking = request(url, { headers, method }, (response) => {
      let body = '';
      response.on('data', (bytes: Buffer) => (body += bytes.toString()));
      response.on('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers, body }),
      );
    });
    asking.on('error', reject).end();
  });
}

test('the status and the output are the program’s, and nothing is left', async () => {
  const mark = newMark();
  const { over, url } = await inspect(`${MAPS}; sleep ${mark} & exit 7`, '--wait=program');
  expect((await over).code).toBe(7);
  await expect(ask(url)).rejects.toThrow('ECONNREFUSED');
  await nothingLeft(mark);
});
test('all events come, in whole lines, and at the end what else is known', async () => {
  const { url, over } = await inspect(
    `${until('all')}; ${MAPS}`,
    `--report=${join(folder, 'r.html')}`,
  );
  const stream = ask(`${url}events`);
  goOn('all');
  const { body, headers } = await stream;
  expect(headers['content-type']).toBe('text/event-stream');
  const [facts, ...lines] = body
    .split('\n')
    .flatMap((line) => /^data: (.*)/.exec(line)?.[1] ?? [])
    .reverse();
  expect(JSON.parse(facts!)).toMatchObject({ ending: 'Exit status 0', explanation: [] });
  const events = lines.map((line) => JSON.parse(line) as { event?: { command?: string } });
  expect(events.some(({ event }) => event?.command === 'IOMMU_IOAS_MAP')).toBe(true);
  expect((await over).code).toBe(0);
});
/** More of a trace than sockets hold: some ten thousand calls that are refused. */
const CHATTY = `
import fcntl, os
fd = os.open('/dev/iommu', os.O_RDWR)
for n in range(24000):
    try: fcntl.ioctl(fd, 0x3b80, bytes(8))
    except OSError: pass
`;
test('a reader who takes nothing keeps neither the program nor its end, and does not get all', async () => {
  const [script, trace] = [join(folder, 'chatty.py'), join(folder, 'chatty.jsonl')];
  writeFileSync(script, CHATTY);
  const { url, over } = await inspect(
    `${until('slow')}; exec /usr/bin/python3 '${script}'`,
    `--trace=${trace}`,
  );
  let taken = 0;
  const reader = await new Promise<IncomingMessage>((resolve) => {
    request(`${url}events`, resolve).end();
  });
  reader.on('data', (bytes: Buffer) => (taken += bytes.length)).pause();
  const closed = new Promise((resolve) => reader.on('error', resolve).on('close', resolve));
  goOn('slow');
  expect((await over).code).toBe(0);
  reader.resume();
  await closed;
  expect(taken).toBeGreaterThan(0);
  expect(taken).toBeLessThan(statSync(trace).size);
});

describe('turned away', () => {
  let run: Inspecting;
  beforeAll(async () => {
    run = await inspect(`${until('away')}`);
    running.delete(run.child);
  });
  afterAll(async () => {
    goOn('away');
    await run.over;
  });
  test.each([
    ['a name that leads here', { Host: 'evil.example' }, 403],
    ['another page', { Origin: 'http://evil.example' }, 403],
    ['an image of another page', { 'Sec-Fetch-Site': 'cross-site' }, 403],
  ])('%s', async (_who, headers, status) => {
    const { status: answered, body, headers: said } = await ask(run.url, headers);
    expect([answered, body]).toEqual([status, '']);
    expect(Object.keys(said)).not.toContain('access-control-allow-origin');
  });
  test('another token, a longer path, another method', async () => {
    const other = run.url.replace(/\w(?=\/$)/, (char) => (char === '0' ? '1' : '0'));
    const asked = await Promise.all([
      ask(other),
      ask(`${run.url}../`),
      ask(`${run.url}facts`),
      ask(run.url, {}, 'POST'),
      ask(run.url, {}, 'OPTIONS'),
    ]);
    expect(asked.map(({ status }) => status)).toEqual([404, 404, 404, 405, 405]);
  });
  test('it listens on this machine only', () => {
    const { port } = new URL(run.url);
    const { stdout } = spawnSync('cat', ['/proc/net/tcp', '/proc/net/tcp6'], { encoding: 'utf8' });
    const hex = Number(port).toString(16).toUpperCase().padStart(4, '0');
    const local = stdout
      .split('\n')
      .flatMap((line) => new RegExp(`: (\\w+):${hex} \\w+:0000 0A`).exec(line)?.[1] ?? []);
    expect(local).toEqual(['0100007F']);
  });
  test('the address goes to nobody else, and nothing keeps or frames the page', async () => {
    const { headers } = await ask(run.url);
    expect(headers).toMatchObject({
      ...{
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-store',
        'x-frame-options': 'DENY',
      },
      ...{ 'cross-origin-resource-policy': 'same-origin', 'x-content-type-options': 'nosniff' },
    });
  });
});

describe('a mistake', () => {
  const refused = (...flags: string[]) => softiommu(['touch', join(folder, 'ran')], { flags });
  test.each([
    ['--machine=/nowhere', '/nowhere'],
    ['--report=/nowhere/x', 'the report cannot be written to /nowhere/x'],
    ['--device=nothing', 'nothing'],
  ])('%s: nothing is served, and the command ends', (flag, said) => {
    const { status, stderr } = refused('--inspect', flag);
    expect([status, stderr]).toEqual([125, expect.stringContaining(said)]);
    expect(stderr).not.toContain('http://');
  });
  test.each([['--inspect=no'], ['--inspect=65536'], ['--inspect=-1']])('%s', (flag) => {
    const { status, stderr } = refused(flag);
    expect([status, stderr]).toEqual([125, expect.stringContaining('a port is 0 to 65535')]);
  });
  test('a port that is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as AddressInfo;
    const { status, stderr } = refused(`--inspect=${port}`);
    other.close();
    expect([status, stderr]).toEqual([
      125,
      expect.stringMatching(
        new RegExp(`^softiommu: --inspect: port ${port} cannot be used: .*\\n$`),
      ),
    ]);
    expect(spawnSync('ls', [join(folder, 'ran')]).status).not.toBe(0);
  });
});

// Skipped where there is no Chromium.
describe.skipIf(!hasBrowser)('in a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser.close());

  test('the page grows with the run, and stays when it is over', async () => {
    const { url, over } = await inspect(`${MAPS}; ${until('grow')}; ${FAULTS}; exit 3`);
    const page = await browser.newPage();
    const asked: string[] = [];
    page.on('request', (each) => asked.push(each.url()));
    page.on('pageerror', (error) => asked.push(error.message));
    await page.goto(`${url}#view=events&search=IOMMU_IOAS_MAP&kinds=leave`);
    const output = page.locator('output');
    await expect.poll(() => output.textContent(), SLOW).toMatch(/^1 of \d+ events$/);
    expect(await page.locator('strong[role=status]').textContent()).toBe('It runs. ');
    goOn('grow');
    await page.getByRole('tab', { name: 'Findings' }).click();
    await page.getByRole('button', { name: /fault 0x71/ }).click();
    expect((await over).code).toBe(3);
    await expect.poll(() => page.locator('header').textContent(), SLOW).toContain('Exit status 3.');
    expect(await page.locator('strong[role=status]').count()).toBe(0);
    await page.getByRole('tab', { name: 'Topology' }).click();
    expect(await page.locator('#view pre').textContent()).toContain('0000:00:04.0 edu');
    expect(asked.filter((each) => !each.startsWith(url))).toEqual([]);
  });
  test('another page of the browser gets nothing, whatever it tries: each is refused by us', async () => {
    const { url } = await inspect(until('other-page'));
    const page = await browser.newPage();
    const statuses = await statusesOf(page, url);
    const server = createServer((_request, response) => {
      response.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>evil</p>');
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`);
    await page.evaluate(`(async () => {
      const loaded = (element) => new Promise((done) => {
        element.onload = element.onerror = element.onmessage = done;
        if (element instanceof Node) document.body.append(element);
      });
      const made = (tag, src) => Object.assign(document.createElement(tag), { src });
      await fetch('${url}?cors').catch(() => 0);
      await fetch('${url}?no-cors', { mode: 'no-cors' }).catch(() => 0);
      await loaded(new EventSource('${url}events'));
      await loaded(made('script', '${url}?script'));
      await loaded(made('img', '${url}?img'));
      await loaded(made('iframe', '${url}?iframe'));
    })()`);
    await page.evaluate(`location.href = '${url}'`);
    server.close();
    const asked = ['?cors', '?no-cors', 'events', '?script', '?img', '?iframe', ''];
    await expect.poll(statuses, SLOW).toEqual(asked.map((what) => [what, 403]));
  });
});
/** What was answered to each request of a page below an address: the browser hides it from the page itself. */
async function statusesOf(page: Page, below: string): Promise<() => [string, number][]> {
  const asked = new Map<string, string>();
  const answered = new Map<string, number>();
  const browser = await page.context().newCDPSession(page);
  browser.on('Network.requestWillBeSent', ({ requestId, request: { url } }) => {
    if (url.startsWith(below)) asked.set(requestId, url.slice(below.length));
  });
  browser.on('Network.responseReceivedExtraInfo', ({ requestId, statusCode }) => {
    answered.set(requestId, statusCode);
  });
  await browser.send('Network.enable');
  return () => [...asked].map(([id, what]) => [what, answered.get(id) ?? 0]);
}

describe('softiommu inspect', () => {
  /** Without the token: it is there, and says no more. Ends with 3. */
  const asking = (at: number): string => `
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen('http://127.0.0.1:${at}/')
except urllib.error.HTTPError as error:
    print(error.code)
sys.exit(3)`;
  const port = async (): Promise<number> => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port: free } = server.address() as AddressInfo; // cast: it listens on a port
    await new Promise((resolve) => server.close(resolve));
    return free;
  };
  test('is run --inspect: the page is there while the program runs, and its status is ours', async () => {
    const free = await port();
    const flags = ['--port', String(free), '--explain', 'never'];
    const { status, stdout, stderr } = command(
      ['inspect', ...flags, '--', 'python3', '-c', asking(free)],
      SLOW,
    );
    expect([status, stdout]).toEqual([3, '404\n']);
    expect(stderr).toMatch(
      new RegExp(`^softiommu: inspect this run at http://127\\.0\\.0\\.1:${free}/[0-9a-f]{32}/\n$`),
    );
  });
  test.each([
    [['1234'], '1234: a run is shown from its start only'],
    [['--port', '70000', '--', 'true'], 'a port is 0 to 65535'],
    [['--port', '1', '--inspect=2', '--', 'true'], "cannot be used with option '--inspect"],
    [[], "missing required argument 'program'"],
  ])('%j is a mistake', (words, said) => {
    const { status, stdout, stderr } = command(['inspect', ...words]);
    expect([status, stdout]).toEqual([125, '']);
    expect(stderr).toContain(said);
  });
});
