/** Run an example when its file is the program; importing it (the tests do) runs nothing. */
import { pathToFileURL } from 'node:url';

export type Print = (line: string) => void;

export function runIfMain(url: string, main: (print: Print) => void): void {
  const started = process.argv[1];
  if (started === undefined || pathToFileURL(started).href !== url) return;
  main((line) => {
    process.stdout.write(line + '\n');
  });
}
