/** Where the files of this package are: the same whether the sources run, or what was built and bundled of them. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(import.meta.url);
const ENDING = here.endsWith('.ts') ? 'ts' : 'js';
/** The folder of what runs now: src, dist, or where tests have put it. A bundle's parts lie at any depth. */
const CODE = folderAbove(dirname(here), `cli/main.${ENDING}`);

/** The folder with package.json. */
export const PACKAGE = folderAbove(dirname(here), 'package.json');

/** A file or folder that comes with the package, by its name there. */
export function packageFile(name: string): string {
  return join(folderAbove(dirname(here), name), name);
}

/** Sources run through the loader they were started with. */
export const IS_SOURCE = ENDING === 'ts';

/** The file of a module that is an entry of its own: 'host/loop/kernel-thread'. */
export function entryFile(module: string): string {
  return join(CODE, `${module}.${ENDING}`);
}

/** The module 'softiommu' for what is loaded into this process; its other entries stand beside it, 'devices/index' as well. */
export function libraryFile(): string {
  return IS_SOURCE ? entryFile('index') : entryFile('plugin-entries/index');
}

/** The nearest folder that has this file; the root where none has. */
function folderAbove(folder: string, file: string): string {
  if (existsSync(join(folder, file)) || dirname(folder) === folder) return folder;
  return folderAbove(dirname(folder), file);
}
