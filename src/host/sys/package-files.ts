/** Where the files of this package are: the same whether the sources run, or what was built and bundled of them. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(import.meta.url);
/** Of what runs now: the ending of its files, and the folder they are in. */
const [ENDING, CODE] = here.endsWith('.ts') ? ['ts', 'src'] : ['js', 'dist'];

/** The folder with package.json. */
export const PACKAGE = rootAbove(dirname(here));

/** Sources run through the loader they were started with. */
export const IS_SOURCE = ENDING === 'ts';

/** The file of a module that is an entry of its own: 'host/loop/kernel-thread'. */
export function entryFile(module: string): string {
  return join(PACKAGE, CODE, `${module}.${ENDING}`);
}

/** A bundle's parts lie at any depth. */
function rootAbove(folder: string): string {
  if (existsSync(join(folder, 'package.json')) || dirname(folder) === folder) return folder;
  return rootAbove(dirname(folder));
}
