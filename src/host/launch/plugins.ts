/**
 * Plugins are modules of the user: found, loaded, looked at, and their names joined to those that come with softiommu.
 *
 * Each thread that makes or checks a machine loads them for itself. Their imports of softiommu are this very one,
 * wherever their file lies.
 */
import { existsSync } from 'node:fs';
import { register } from 'node:module';
import { extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { containedType, type Tell } from '../../plugin/contained.ts';
import type { Plugin } from '../../plugin/index.ts';
import { shapeProblem, takenName, withPlugin, type KnownNames } from '../../plugin/shape.ts';
import { libraryFile } from '../sys/package-files.ts';

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

/** Load these files, in their order. `tell`: of exceptions in what they export. */
export async function loadPlugins(
  files: readonly string[],
  known: KnownNames,
  tell: Tell,
): Promise<LoadedPlugins> {
  let all = known;
  for (const file of files) {
    const plugin = await loadPlugin(file);
    const problem = typeof plugin === 'string' ? plugin : takenName(plugin, all);
    if (typeof plugin === 'string' || problem !== undefined) {
      return { problem: `plugin ${file}: ${problem}` };
    }
    const devices = (plugin.devices ?? []).map((type) => containedType(type, plugin.name, tell));
    all = withPlugin(all, { ...plugin, devices });
  }
  return { known: all };
}

async function loadPlugin(file: string): Promise<Plugin | string> {
  const path = resolve(file);
  if (!existsSync(path)) return 'there is no such file';
  if (/^\.[cm]?ts$/.test(extname(path)) && !stripsTypes()) {
    return `Node ${process.version} does not run TypeScript; Node 22.18 does, and JavaScript does here`;
  }
  hookImports();
  let module: unknown;
  try {
    module = await import(pathToFileURL(path).href);
  } catch (error) {
    return `cannot be loaded: ${error instanceof Error ? error.message : String(error)}`;
  }
  const value = defaultOf(module);
  // cast: shapeProblem has found none
  return shapeProblem(value) ?? (value as Plugin);
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
