/**
 * /lib/modules/RELEASE of a host that has none, as a container: what modprobe(8), modinfo(8) and lspci(8) look for of the
 * modules of the simulated kernel (vfio.md 4.1). Where the host has such a directory, its own tells of more than ours.
 */
import type { KernelEnv } from '../../base/kernel-env.ts';
import type { DriverCore } from '../kernel/driver-core.ts';
import { moduleFile } from '../kernel/module-file.ts';
import {
  aliasIndex,
  aliasText,
  builtInIndex,
  builtInText,
  dependencyIndex,
  dependencyText,
  filePathOf,
  symbolIndex,
} from '../kernel/module-index.ts';
import { loadedModules, type KernelModule } from '../kernel/modules.ts';
import type { AttrNode, DirNode, Node } from './nodes.ts';
import { dir } from './tree.ts';

/** What modules are made of. */
interface ModuleWorld {
  readonly env: KernelEnv;
  readonly drivers: DriverCore;
}

/** The directory /lib; `release` is what uname(2) says. */
export function libRoot(world: ModuleWorld, release: string): DirNode {
  const ofRelease = dir(() => {
    const modules = loadedModules(world.env, world.drivers);
    const files = modules.map(
      (module) => [filePathOf(module), regularFile(moduleFile(module, release))] as const,
    );
    return {
      ...nested(files),
      'modules.alias': textFile(aliasText(modules)),
      'modules.alias.bin': regularFile(aliasIndex(modules)),
      'modules.builtin': textFile(builtInText()),
      'modules.builtin.bin': regularFile(builtInIndex()),
      'modules.dep': textFile(dependencyText(modules)),
      'modules.dep.bin': regularFile(dependencyIndex(modules)),
      'modules.order': textFile(orderText(modules)),
      'modules.symbols.bin': regularFile(symbolIndex()),
    };
  });
  return dir(() => ({ modules: dir(() => ({ [release]: ofRelease }), true) }), true);
}
function orderText(modules: readonly KernelModule[]): string {
  return modules.map((module) => `${filePathOf(module)}\n`).join('');
}

/** Directories of the paths. */
function nested(files: readonly (readonly [path: string, node: Node])[]): Record<string, Node> {
  const names = new Set(files.map(([path]) => path.split('/', 1)[0]!));
  return Object.fromEntries(
    [...names].map((name): [string, Node] => {
      const own = files.find(([path]) => path === name);
      const inside = files
        .filter(([path]) => path.startsWith(`${name}/`))
        .map(([path, node]) => [path.slice(name.length + 1), node] as const);
      return [name, own?.[1] ?? dir(() => nested(inside))];
    }),
  );
}

function textFile(content: string): AttrNode {
  return regularFile(new TextEncoder().encode(content));
}
function regularFile(content: Uint8Array): AttrNode {
  return {
    ...{ kind: 'attr', mode: 0o644, size: content.length, uid: 0, gid: 0, isRegular: true },
    read: () => content,
  };
}
