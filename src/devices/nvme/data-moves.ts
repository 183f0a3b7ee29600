/**
 * Data of commands on its way to the host or from it: in the order of coming, what ends together in one transfer, and of
 * all of it as much in a turn as its budget has room for.
 */
import type { DeviceDma, DmaPiece } from '../port.ts';
import type { PlacedBytes } from '../unit/each.ts';
import { LongTransfer } from '../unit/long-transfer.ts';
import type { Command } from './command.ts';
import { STATUS } from './status.ts';

/** Bytes that are written with those of other commands. */
const MOST_TOGETHER = 0x4_0000;

/** What it asks of the engine. */
export interface DataMovesParts {
  readonly dma: DeviceDma;
  readonly isLive: (command: Command) => boolean;
  readonly complete: (command: Command, status: number) => void;
}

/** What a command has for the host. `done`: it has come there. */
export interface Outgoing {
  readonly command: Command;
  readonly data: PlacedBytes;
  readonly done?: (() => void) | undefined;
}
/** What a command has to know before it goes on. Undefined: it cannot be read. */
export type DataReceived = (bytes: Uint8Array | undefined) => void;
interface Incoming {
  readonly command: Command;
  readonly pieces: readonly DmaPiece[];
  readonly then: DataReceived;
}
interface UnderWay {
  readonly transfer: LongTransfer;
  readonly end: (transfer: LongTransfer) => void;
}

/** Nothing of it is a state: commands that are live begin again. */
export class DataMoves {
  readonly #parts: DataMovesParts;
  #outgoing: Outgoing[] = [];
  #incoming: Incoming[] = [];
  #underWay: UnderWay | undefined;

  constructor(parts: DataMovesParts) {
    this.#parts = parts;
  }
  clear(): void {
    this.#outgoing = [];
    this.#incoming = [];
    this.#underWay = undefined;
  }
  get isIdle(): boolean {
    return !this.#underWay && this.#outgoing.length + this.#incoming.length === 0;
  }
  /** The command ends when this has come to the host. */
  send(outgoing: Outgoing): void {
    this.#outgoing.push(outgoing);
  }
  /** At once, if so much work is left for it and nothing is before it. */
  receive(incoming: Incoming, work: number): void {
    this.#incoming.push(incoming);
    if (!this.#underWay && this.#incoming.length === 1 && work > 0) this.goOn(work);
  }
  /** False: there is nothing. */
  goOn(work: number): boolean {
    const underWay = (this.#underWay ??= this.#next());
    if (!underWay) return false;
    underWay.transfer.go(work);
    // What it reached may have been the controller.
    if (this.#underWay !== underWay || !underWay.transfer.isOver) return true;
    this.#underWay = undefined;
    underWay.end(underWay.transfer);
    return true;
  }

  /** Of a command that is not live any more nothing is moved. */
  #next(): UnderWay | undefined {
    const { dma, isLive } = this.#parts;
    const incoming = this.#incoming.shift();
    if (incoming) {
      const { pieces, then, command } = incoming;
      const transfer = LongTransfer.reading(dma, isLive(command) ? [pieces] : []);
      return { transfer, end: ({ read }) => isLive(command) && then(read[0]) };
    }
    const together = this.#takeTogether();
    if (together.length === 0) return undefined;
    const live = together.filter(({ command }) => isLive(command));
    const transfer = LongTransfer.writing(
      dma,
      live.map(({ data }) => data),
    );
    return { transfer, end: ({ ends }) => this.#sent(live, ends) };
  }
  #takeTogether(): Outgoing[] {
    let bytes = 0;
    const more = this.#outgoing.findIndex(({ data }) => {
      if (bytes >= MOST_TOGETHER) return true;
      bytes += data.bytes.length;
      return false;
    });
    return this.#outgoing.splice(0, more < 0 ? this.#outgoing.length : more);
  }
  #sent(list: readonly Outgoing[], ends: readonly boolean[]): void {
    for (const [n, { command, done }] of list.entries()) {
      if (ends[n] && this.#parts.isLive(command)) done?.();
      this.#parts.complete(command, ends[n] ? STATUS.SUCCESS : STATUS.DATA_TRANSFER);
    }
  }
}
