/** The calls by which programs have mapped memory for devices: which hold, which are undone and by whom, and which have failed. */
import type { MappedRange, MappingCall } from './mapping-call.ts';
import { SpaceMappings } from './space-mappings.ts';

/** Mappings that are gone, and failed ones, that are remembered. */
const MOST_PAST = 4096;

/** All of them in a run. */
export class MappingCalls {
  readonly #live = new Map<string, SpaceMappings>();
  readonly #comparesRights: boolean;
  #past: MappingCall[] = [];
  #failed: MappingCall[] = [];

  /** `comparesRights`: otherRights() will be asked. */
  constructor({ comparesRights }: { readonly comparesRights: boolean }) {
    this.#comparesRights = comparesRights;
  }

  /** A mapping holds from now on. */
  add(call: MappingCall): void {
    let space = this.#live.get(call.space);
    if (!space) {
      space = new SpaceMappings(this.#comparesRights);
      this.#live.set(call.space, space);
    }
    space.add(call);
    if (this.#failed.length > 0) {
      this.#failed = this.#failed.filter(
        (one) => !(one.space === call.space && overlaps(one, call)),
      );
    }
  }
  addFailed(call: MappingCall): void {
    this.#failed.push(call);
    if (this.#failed.length > MOST_PAST) this.#failed.shift();
  }
  /** A range of a space was unmapped: the mappings that lie in it. */
  undo(space: string, range: MappedRange, undone: MappingCall['undone']): void {
    const live = this.#live.get(space);
    const isWithin = within(range);
    for (const call of live?.in(range) ?? []) {
      if (!isWithin(call)) continue;
      live!.delete(call);
      call.undone = undone;
      this.#past.push(call);
    }
    if (this.#past.length > 2 * MOST_PAST) this.#past = this.#past.slice(-MOST_PAST);
  }
  /** A space is gone, and with it what was mapped there. */
  end(space: string, undone: MappingCall['undone']): void {
    this.undo(space, WHOLE_SPACE, undone);
    this.#live.delete(space);
    this.#failed = this.#failed.filter((one) => one.space !== space);
  }
  /** Those of spaces of this name are gone with their file: what was left. */
  close(file: string): MappingCall[] {
    const left: MappingCall[] = [];
    for (const [space, calls] of this.#live) {
      if (!space.startsWith(`${file} `)) continue;
      left.push(...calls.all());
      this.#live.delete(space);
    }
    this.#failed = this.#failed.filter(({ space }) => !space.startsWith(`${file} `));
    return left;
  }

  /** All that hold. */
  *live(): Generator<MappingCall> {
    for (const space of this.#live.values()) yield* space.all();
  }
  /** One that holds at an address, of the space that was made last. */
  liveAt(iova: bigint): MappingCall | undefined {
    let found: MappingCall | undefined;
    for (const space of this.#live.values()) found = space.at(iova) ?? found;
    return found;
  }
  /** The one of a space that holds at an address. */
  of(space: string, iova: bigint): MappingCall | undefined {
    return this.#live.get(space)?.at(iova);
  }
  /** The newest that was undone. */
  undoneAt(iova: bigint): MappingCall | undefined {
    return this.#past.findLast(covers(iova));
  }
  failedAt(iova: bigint): MappingCall | undefined {
    return this.#failed.length === 0 ? undefined : this.#failed.findLast(covers(iova));
  }
  /** One of a space that holds in a range, or reaches into it. */
  firstIn(space: string, range: MappedRange): MappingCall | undefined {
    return this.#live.get(space)?.in(range)[0];
  }
  /** Does one of a space hold in a range, or reach into it? */
  someIn(space: string, range: MappedRange): boolean {
    return this.firstIn(space, range) !== undefined;
  }
  get someFailed(): boolean {
    return this.#failed.length > 0;
  }
  /** One of the same space that shows the same memory with other rights. */
  otherRights(call: MappingCall): MappingCall | undefined {
    return this.#live.get(call.space)?.otherRights(call);
  }
}

/** Of a call that names no range. */
export const WHOLE_SPACE: MappedRange = { iova: 0n, length: 1n << 64n };

function covers(iova: bigint): (range: MappedRange) => boolean {
  return (range) => iova >= range.iova && iova - range.iova < range.length;
}
function within(outer: MappedRange): (range: MappedRange) => boolean {
  return ({ iova, length }) => iova >= outer.iova && iova + length <= outer.iova + outer.length;
}
function overlaps(a: MappedRange, b: MappedRange): boolean {
  return a.iova < b.iova + b.length && b.iova < a.iova + a.length;
}
