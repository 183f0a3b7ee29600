/**
 * Running a bundle with the code V8 has made of it before: a start does not parse and compile what it needs once more.
 *
 * Beside a bundle lies its cache, made when the package was built (scripts/code-cache.mjs). V8 takes it only if it is of the
 * same V8 with the same flags; else, and without one, the bundle is compiled as any file is. Of the source V8 compares the
 * length, so whoever changes a bundle by hand removes its cache. A run costs a third less processor time for it (docs/performance.md).
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { Script } from 'node:vm';

type Module = { exports: unknown };
type ModuleFunction = (
  exports: unknown,
  require: NodeJS.Require,
  module: Module,
  filename: string,
  folder: string,
) => void;

/** A bundle: all ASCII, as esbuild writes it. `script` is what V8 has of it; `run` can be called again. */
export interface CompiledBundle {
  readonly script: Script;
  readonly run: () => void;
}

/** Commands that have a cache of their own: they use most of what the others do not. */
const OWN = ['topology'];

/** The name of the cache of a bundle, for a command if it has commands. */
export function cacheOf(bundle: string, command?: string): string {
  return command !== undefined && OWN.includes(command)
    ? `${bundle}.${command}.cache`
    : `${bundle}.cache`;
}

/** Compile a bundle of the form CommonJS, or take what was compiled. */
export function compileBundle(bundle: string, command?: string): CompiledBundle {
  const source = readFileSync(bundle, 'latin1'); // it is ASCII (scripts/bundle.mjs)
  const cachedData = contentOf(cacheOf(bundle, command));
  const script = new Script(
    `(function (exports, require, module, __filename, __dirname) {${source}\n})`,
    { filename: bundle, ...(cachedData && { cachedData }) },
  );
  const run = (): void => {
    const wrapped = script.runInThisContext() as ModuleFunction; // cast: the text above is one
    const module: Module = { exports: {} };
    wrapped(module.exports, createRequire(bundle), module, bundle, dirname(bundle));
  };
  return { script, run };
}

/** What the programs of the package begin with. */
export function runBundle(bundle: string, command?: string): void {
  compileBundle(bundle, command).run();
}

/** import(), which code that comes from a cache cannot do: this file is never in a bundle. */
export function importModule(specifier: string): Promise<unknown> {
  return import(specifier);
}

/** Undefined: it cannot be read, which costs time only. */
function contentOf(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}
