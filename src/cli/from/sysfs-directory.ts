/** The files of a function in a copy of sysfs, as text and numbers. */
import { printable } from '../../machine/description/wording.ts';
import { UserMistake } from '../user-mistake.ts';
import { resolvePath, type Tree } from './tree.ts';

const CONFIG = 4096;
/** Bytes of a file of text. */
const TEXT = 4096;

/** The files of one function, and what its links lead to. */
export class SysfsDirectory {
  /** For messages. */
  readonly name: string;
  readonly #tree: Tree;
  readonly #path: readonly string[];

  constructor(tree: Tree, path: readonly string[]) {
    this.#tree = tree;
    this.#path = path;
    this.name = `${tree.name}/${path.join('/')}`;
  }

  has(file: string): boolean {
    const path = resolvePath(this.#tree, this.#path);
    return path !== undefined && this.#tree.node([...path, file]) !== undefined;
  }

  bytes(file: string, most = CONFIG): Uint8Array | undefined {
    const path = resolvePath(this.#tree, [...this.#path, ...file.split('/')]);
    return path && this.#tree.read(path, most);
  }

  /** Archives fill what was shorter than it seemed with zeros. */
  text(file: string): string | undefined {
    const bytes = this.bytes(file, TEXT);
    return bytes && Buffer.from(bytes).toString('latin1').replace(/\0+$/, '');
  }

  /** A number as sysfs writes one, '0x8086'. Undefined: there is no such file. */
  number(file: string): number | undefined {
    const text = this.text(file);
    if (text === undefined) return undefined;
    if (/^0x[0-9a-f]{1,6}\n$/.test(text)) return Number(text.trimEnd());
    throw this.wrong(file, 1, text.split('\n')[0] ?? '');
  }

  /** Names in a directory below; none where there is no such directory. */
  names(directory: string): readonly string[] {
    const path = resolvePath(this.#tree, [...this.#path, ...directory.split('/')]);
    const node = path && this.#tree.node(path);
    return node?.kind === 'directory' ? node.names : [];
  }

  /** The last name of where a link leads; it is not followed. */
  linkName(file: string): string | undefined {
    const path = resolvePath(this.#tree, this.#path);
    const node = path && this.#tree.node([...path, file]);
    return node?.kind === 'link' ? node.target.split('/').at(-1) : undefined;
  }

  wrong(file: string, line: number, text: string): UserMistake {
    return new UserMistake(
      `${this.name}/${file}:${line}: sysfs writes no such line: '${printable(text)}'`,
    );
  }
}
