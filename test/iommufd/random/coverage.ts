/** Which random commands worked and which failed: a row that never does one of both tests nothing. */
import type { Command, Step } from './command.ts';

interface Count {
  worked: number;
  failed: number;
}

export class Coverage {
  readonly #counts = new Map<string, Count>();
  /** Every command, however its struct was given. */
  total = 0;

  /** A step whose struct is given badly says nothing of its command. */
  note({ name, flaws }: Step, failed: boolean): void {
    this.total++;
    if (flaws && Object.keys(flaws).length > 0) return;
    let count = this.#counts.get(name);
    if (!count) this.#counts.set(name, (count = { worked: 0, failed: 0 }));
    if (failed) count.failed++;
    else count.worked++;
  }
  /** What the rows promise and did not keep. */
  missing(commands: readonly Command[]): string[] {
    return commands.flatMap(({ name, always }) => {
      const { worked, failed } = this.#counts.get(name) ?? { worked: 0, failed: 0 };
      const complaints = [
        worked === 0 && !always?.fails && 'never worked',
        failed === 0 && !always?.works && 'never failed',
        worked > 0 && always?.fails && 'worked, which it never does',
        failed > 0 && always?.works && 'failed, which it never does',
      ];
      return complaints.filter((text) => typeof text === 'string').map((text) => `${name} ${text}`);
    });
  }
  /** name: worked/failed, a line each. */
  toString(): string {
    const lines = [...this.#counts].map(
      ([name, { worked, failed }]) => `${name}: ${worked}/${failed}`,
    );
    return [`${this.total} commands`, ...lines].join('\n');
  }
}
