/**
 * Plugins are modules of the user: found, loaded, looked at, and their names joined to those that come with softiommu.
 *
 * Each thread that makes or checks a machine loads them for itself. Their imports of softiommu are this very one,
 * wherever their file lies.
 */
import { statSync } from 'node:fs';
import { register } from 'node:module';
import { extname, resolve } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { containedIommu } from '../../plugin/contained-iommu.ts';
import { containedType, textOf, type Tell } from '../../plugin/contained.ts';
import type { Plugin } from '../../plugin/index.ts';
import { shapeProblem, takenName, withPlugin, type KnownNames } from '../../plugin/shape.ts';
import { STATUS_FAILED } from '../sys/exit-status.ts';
import { importModule } from '../sys/code-cache.ts';
import { libraryFile } from '../sys/package-files.ts';
import { makeEndSure } from '../sys/sure-end.ts';
import { systemReason } from '../sys/system-reason.ts';
import { STDERR, writeAll } from '../sys/write-all.ts';

/** Names with those of the plugins, or what is wrong with one of them, in a line. */
export type LoadedPlugins = { readonly known: KnownNames } | { readonly problem: string };

/** Finds what a plugin imports of softiommu beside the entry of this one, which it is told first. */
const HOOK = `
let entry;
export function initialize(data) { entry = data; }
export function resolve(specifier, context, next) {
  const [, name] = /^softiommu(?:\\/([a-z]+))?$/.exec(specifier) ?? [, ''];
  if (name === '') return next(specifier, context);
  return next(name === undefined ? entry : entry.replace(/index(?=[.]\\w+$)/, name + '/index'), context);
}`;
let hooked = false;

/** A module that is not there by then waits for something that will not come. */
const PATIENCE_MS = 10_000;

/** Load these files, in their order. `tell`: of exceptions in what they export. */
export async function loadPlugins(
  files: readonly string[],
  known: KnownNames,
  tell: Tell,
  patienceMs = PATIENCE_MS,
): Promise<LoadedPlugins> {
  if (files.length > 0 && isMainThread) {
    await makeEndSure();
    endAtUncaught();
  }
  let all = known;
  for (const file of files) {
    const loaded = await loadPlugin(file, patienceMs);
    const more = typeof loaded === 'string' ? loaded : joinedBy(all, loaded.exported, tell);
    if (typeof more === 'string') return { problem: `plugin ${file}: ${more}` };
    all = more;
  }
  return { known: all };
}

/** What a plugin throws outside of what is called of it: in a timer, in a promise. One line, and not Node's own. */
function endAtUncaught(): void {
  if (process.listenerCount('uncaughtException') > 0) return;
  process.on('uncaughtException', (error) => {
    writeAll(
      STDERR,
      `softiommu: nobody caught what was thrown, by a plugin perhaps: ${textOf(error)}\n`,
    );
    process.exit(STATUS_FAILED);
  });
}

/** What is known with this plugin, or what is wrong with it. It is looked at with care: looking runs code of its own. */
function joinedBy(known: KnownNames, value: unknown, tell: Tell): KnownNames | string {
  try {
    const problem = shapeProblem(value);
    if (problem !== undefined) return problem;
    const plugin = value as Plugin; // cast: shapeProblem has found nothing wrong
    const taken = takenName(plugin, known);
    if (taken !== undefined) return taken;
    const { name, devices = [], iommus = [] } = plugin;
    return withPlugin(known, {
      ...plugin,
      devices: devices.map((type) => containedType(type, name, tell)),
      iommus: iommus.map((type) => containedIommu(type, name, tell)),
    });
  } catch (error) {
    return `what it exports cannot be looked at: ${textOf(error)}`;
  }
}

async function loadPlugin(
  file: string,
  patienceMs: number,
): Promise<{ readonly exported: unknown } | string> {
  const path = resolve(file);
  const obstacle = noFileAt(path);
  if (obstacle !== undefined) return obstacle;
  if (/^\.[cm]?ts$/.test(extname(path)) && !stripsTypes()) return noTypeScript(file);
  hookImports();
  using _ = staying();
  const patience = new AbortController();
  try {
    // The timer also keeps Node from ending where nothing else is to be waited for.
    const late = setTimeout(patienceMs, undefined, { signal: patience.signal });
    const module: unknown = await Promise.race([importModule(pathToFileURL(path).href), late]);
    if (module === undefined) {
      return `is not loaded after ${patienceMs / 1000} seconds: it awaits at its top level what does not come`;
    }
    return { exported: defaultOf(module) };
  } catch (error) {
    return `cannot be loaded: ${textOf(error)}`;
  } finally {
    patience.abort();
  }
}

/** Why nothing can be loaded from there: of a pipe or a device Node would read, or wait, for ever. */
function noFileAt(path: string): string | undefined {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (!found) return 'there is no such file';
    if (found.isFile()) return undefined;
    return found.isDirectory()
      ? 'is a directory: name the file of the module in it'
      : 'is no regular file, so it cannot be loaded: copy the module into a file and name that';
  } catch (error) {
    return `cannot be looked at: ${systemReason(error)}`;
  }
}

/** While a plugin is loaded it cannot end the process, or the thread, as if all were well: that is an exception of its own. */
function staying(): Disposable {
  const exit = process.exit.bind(process);
  process.exit = () => {
    throw new Error('process.exit() was called');
  };
  return {
    [Symbol.dispose]: () => {
      process.exit = exit;
    },
  };
}

function noTypeScript(file: string): string {
  const made = file.replace(/ts$/, 'js').replace(/\.js$/, '.mjs');
  return (
    `Node ${process.version} does not run TypeScript; Node 22.18 does. ` +
    `Here: npx esbuild ${file} --outfile=${made}, and --plugin ${made}`
  );
}

function defaultOf(module: unknown): unknown {
  return typeof module === 'object' && module && 'default' in module ? module.default : undefined;
}
/** Node says so where it does; in earlier releases there is no such property. */
function stripsTypes(): boolean {
  const { features } = process;
  return 'typescript' in features && Boolean(features.typescript);
}
function hookImports(): void {
  if (hooked) return;
  hooked = true;
  register(`data:text/javascript,${encodeURIComponent(HOOK)}`, {
    data: pathToFileURL(libraryFile()).href,
  });
}
