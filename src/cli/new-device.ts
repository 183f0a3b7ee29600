/**
 * `softiommu new device`: a device of the user's own, with its test and a program that drives it. They are made of the
 * files of examples/new-device, in which the name is replaced.
 */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { packageFile } from '../host/sys/package-files.ts';
import { systemReason } from '../host/sys/system-reason.ts';
import { isBridge } from '../machine/description/entries.ts';
import { given } from '../machine/description/wording.ts';
import { KNOWN_TYPES } from '../machine/machine.ts';
import { UserMistake } from './user-mistake.ts';

/** Each with the name of the device in place of `my-device`. */
const FILES = ['my-device.mts', 'my-device.test.mts', 'my-device.c', 'README.md'] as const;
const NAME = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;
const LONGEST = 32;
/** Words of --device that name no type. */
const WORDS: readonly string[] = ['help'];

/** Write the files; their names. Throws UserMistake: a bad name, a file that is there already, a folder that cannot be. */
export function newDevice(name: string, folder: string): readonly string[] {
  const problem = nameProblem(name);
  if (problem !== undefined) throw new UserMistake(`new device ${given(name)}: ${problem}`);
  if (existsSync(folder) && !statSync(folder).isDirectory()) {
    throw new UserMistake(`${folder} is a file, and no folder for the device`);
  }
  const template = packageFile('examples/new-device');
  const files = FILES.map((file) => ({
    path: join(folder, renamed(file, name)),
    text: renamed(readFileSync(join(template, file), 'utf8'), name),
  }));
  const there = files.filter(({ path }) => existsSync(path)).map(({ path }) => path);
  if (there.length > 0) {
    throw new UserMistake(`nothing is overwritten, and there is ${there.join(', ')} already`);
  }
  try {
    makeFolder(folder);
    // 'wx': not even what has come into being meanwhile.
    for (const { path, text } of files) writeFileSync(path, text, { flag: 'wx' });
  } catch (error) {
    throw new UserMistake(`${folder} cannot be written: ${systemReason(error)}`);
  }
  return files.map(({ path }) => path);
}

/** Node's own way to make those above too does not end where the kernel refuses, as in /proc. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  mkdirSync(folder);
}

/** Why a device cannot be called so; undefined: it can. */
function nameProblem(name: string): string | undefined {
  if (!NAME.test(name) || name.length > LONGEST) {
    return `a name is 1 to ${LONGEST} small letters, digits and single dashes, a letter first; such as frame-grabber`;
  }
  if (WORDS.includes(name)) return `--device ${name} means something else`;
  if (KNOWN_TYPES.devices.has(name) || isBridge(name)) return 'softiommu has a type of this name';
  return undefined;
}

/** In every way that a name is written. */
function renamed(text: string, name: string): string {
  const words = name.split('-').map((word) => word[0]!.toUpperCase() + word.slice(1));
  const pascal = words.join('');
  // Of its own it might be a word of the language: class, new.
  const camel = `${pascal[0]!.toLowerCase()}${pascal.slice(1)}Device`;
  return text
    .replaceAll('my-device', name)
    .replaceAll('myDevice', camel)
    .replaceAll('MyDevice', pascal)
    .replaceAll(/\b([Mm])y device\b/g, (_, first) => (first === 'M' ? pascal : name));
}
