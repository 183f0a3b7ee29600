/** The option that shows a run while it goes on. */
import { InvalidArgumentError, Option } from '@commander-js/extra-typings';

/** `--inspect` */
export const inspectOption = () =>
  new Option(
    '--inspect [=port]',
    'show the page of --report while the program runs, to a browser on this machine: at any port, or this one',
  ).argParser(portNumber);
/** `--port`, of a command that inspects anyhow. */
export const portOption = () =>
  new Option('--port <port>', 'where the page is, on 127.0.0.1; default: any port that is free')
    .argParser(portNumber)
    .conflicts('inspect');
function portNumber(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  if (port >= 0 && port <= 0xffff) return port;
  throw new InvalidArgumentError('a port is 0 to 65535.');
}
