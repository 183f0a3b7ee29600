/** `run --inspect`: the page of a run while it goes on, for this user on this machine only. */
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { systemReason } from '../../host/sys/system-reason.ts';
import { livePage } from '../../insight/report/page.ts';
import type { RunFacts } from '../../insight/report/run-facts.ts';
import type { KeptTrace } from '../reports/kept-trace.ts';
import { builtParts } from '../reports/report-file.ts';
import { UserMistake } from '../user-mistake.ts';
import { packageVersion } from '../version.ts';
import { admit } from './admission.ts';
import { Follower } from './follower.ts';

/** What is shown. */
export interface Inspected {
  /** 0: any that is free. */
  readonly port: number;
  readonly trace: KeptTrace;
  readonly title: string;
}

const LOOPBACK = '127.0.0.1';
/** How often it is looked for new events, and how long readers have to take the last ones, in milliseconds. */
const LOOK_MS = 100;
const LAST_MS = 2000;
/** Connections at once: some tabs of one reader. */
const MOST_CONNECTIONS = 32;
/** Nothing may keep, frame, or pass on what is shown; its address least of all, which has the token. */
const HEADERS = {
  'Cache-Control': 'no-store',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
} as const;

/** Serves one run. */
export class InspectServer {
  readonly #inspected: Inspected;
  readonly #token = randomBytes(16).toString('hex');
  readonly #server: Server;
  readonly #followers = new Set<Follower>();
  #port = 0;
  #timer: NodeJS.Timeout | undefined;

  private constructor(inspected: Inspected) {
    this.#inspected = inspected;
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#server.maxConnections = MOST_CONNECTIONS;
  }
  /** Rejects with UserMistake when the port cannot be had. */
  static async listen(inspected: Inspected): Promise<InspectServer> {
    const server = new InspectServer(inspected);
    await server.#listen();
    return server;
  }
  /** For the reader: nobody else knows the token in it. */
  get url(): string {
    return `http://${LOOPBACK}:${this.#port}/${this.#token}/`;
  }

  #listen(): Promise<void> {
    const { port } = this.#inspected;
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error) => {
        reject(new UserMistake(`--inspect: port ${port} cannot be used: ${systemReason(error)}`));
      });
      this.#server.listen(port, LOOPBACK, () => {
        const address = this.#server.address();
        this.#port = typeof address === 'object' ? (address?.port ?? 0) : 0;
        this.#timer = setInterval(() => this.#advance(), LOOK_MS).unref();
        this.#server.unref(); // who looks on does not keep a command that has nothing else to do
        resolve();
      });
    });
  }
  #advance(): boolean {
    return [...this.#followers].map((follower) => follower.advance()).every(Boolean);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url: path = '', headers } = request;
    const admission = admit({ method, path, headers }, this.#port, this.#token);
    if ('status' in admission) deny(response, admission.status);
    else if (admission.resource === '') this.#page(response);
    else if (admission.resource === 'events') this.#events(response);
    else deny(response, 404);
  }
  #page(response: ServerResponse): void {
    const facts = { title: this.#inspected.title, version: packageVersion() };
    response.writeHead(200, { ...HEADERS, 'Content-Type': 'text/html; charset=utf-8' });
    response.end(livePage(builtParts(), facts));
  }
  #events(response: ServerResponse): void {
    response.writeHead(200, { ...HEADERS, 'Content-Type': 'text/event-stream' });
    response.flushHeaders();
    const follower = new Follower(response, this.#inspected.trace);
    this.#followers.add(follower);
    response.on('close', () => this.#followers.delete(follower));
    follower.advance();
  }

  /** The run is over: readers get the rest and the end, as long as they take it, and then there is nobody here any more. */
  async finish(facts: Omit<RunFacts, 'version'>): Promise<void> {
    clearInterval(this.#timer);
    const until = performance.now() + LAST_MS;
    while (!this.#advance() && performance.now() < until) await pause(LOOK_MS / 10);
    for (const follower of this.#followers) follower.end({ ...facts, version: packageVersion() });
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    await Promise.race([closed, pause(Math.max(0, until - performance.now()))]);
    this.#server.closeAllConnections();
  }
}

function deny(response: ServerResponse, status: 403 | 404 | 405): void {
  const allow = status === 405 ? { Allow: 'GET' } : {};
  response.writeHead(status, { ...HEADERS, ...allow, Connection: 'close' }).end();
}
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
