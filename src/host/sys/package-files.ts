/** Where the files of this package are: the same whether the sources run, or what was built and bundled of them. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(import.meta.url);
/** Sources run through the loader they were started with. */
export const IS_SOURCE = here.endsWith('.ts');

/** The folder of what runs now: src, dist, or where tests have put it. A bundle lies in a folder of its own there. */
const CODE = folderAbove(dirname(here), `cli/main.${IS_SOURCE ? 'ts' : 'js'}`);

/** The folder with package.json. */
export const PACKAGE = folderAbove(dirname(here), 'package.json');

/** A file or folder that comes with the package, by its name there. */
export function packageFile(name: string): string {
  return join(folderAbove(dirname(here), name), name);
}

/** The file of a module that is a program of its own: 'host/loop/kernel-thread'. */
export function programFile(module: string): string {
  return join(CODE, `${module}.${IS_SOURCE ? 'ts' : 'cjs'}`);
}

/** The same of one that plugins are loaded into: its bundle has the library as well. */
export function programWithLibrary(module: string): string {
  return programFile(IS_SOURCE ? module : `${module}-with-library`);
}

/** The file of a module that a page is put together from. */
export function pageFile(name: string): string {
  return join(CODE, 'page', name);
}

/** The module 'softiommu' for what is loaded into this process; its other entries stand beside it, 'devices/index' as well. */
export function libraryFile(): string {
  return join(CODE, IS_SOURCE ? 'index.ts' : 'plugin-entries/index.js');
}

/** The nearest folder that has this file; the root where none has. */
function folderAbove(folder: string, file: string): string {
  if (existsSync(join(folder, file)) || dirname(folder) === folder) return folder;
  return folderAbove(dirname(folder), file);
}
