/**
 * The ABI of /dev/iommu in the machine's kernel: the tables of uapi/iommufd-since.ts, resolved once for one release
 * (iommufd.md chapter 9). Handlers ask here what their kernel does not know yet.
 */
import { EOPNOTSUPP, type Status } from '../base/errno.ts';
import type { KernelEnv } from '../base/kernel-env.ts';
import { isSince, type Release } from '../base/kernel-release.ts';
import { refuse } from '../base/refuse.ts';
import {
  COMMANDS_SINCE,
  FIELDS_SINCE,
  FLAGS_SINCE,
  MMAP_SINCE,
  releaseOf,
  type FieldSince,
  type FlagPlace,
  type FlagSince,
} from '../uapi/iommufd-since.ts';

/** Facts of a refusal: this kernel, and the first one that would not refuse. */
export interface TooOld {
  readonly kernel: Release;
  readonly since: string;
}

/** Flags of one place that this kernel does not know, and later ones do. */
class LaterFlags {
  /** Their bits. */
  readonly bits: number;
  readonly #release: Release;
  readonly #flags: readonly FlagSince[];

  constructor(release: Release, place: FlagPlace) {
    this.#release = release;
    this.#flags = FLAGS_SINCE[place].filter(({ since }) => !isSince(release, releaseOf(since)));
    this.bits = this.#flags.reduce((bits, flag) => bits | flag.bits, 0);
  }
  /** Errnos: EOPNOTSUPP. */
  refuse(given: number): Status<'EOPNOTSUPP'> {
    if ((given & this.bits) === 0) return undefined;
    const first = this.#flags.find((flag) => (given & flag.bits) !== 0)!;
    const facts = { flag: first.name, kernel: this.#release, since: releaseOf(first.since) };
    return refuse(EOPNOTSUPP, 'the flag is of a later kernel', facts);
  }
}

export class KernelAbi {
  readonly release: Release;
  readonly pagingFlags: LaterFlags;
  readonly nestedFlags: LaterFlags;
  readonly hwInfoFlags: LaterFlags;
  readonly hwCapabilities: LaterFlags;
  readonly #env: KernelEnv;
  readonly #laterFields: readonly FieldSince[];

  constructor(env: KernelEnv) {
    const { release } = env;
    this.#env = env;
    this.release = release;
    this.pagingFlags = new LaterFlags(release, 'IOMMU_HWPT_ALLOC on an IOAS');
    this.nestedFlags = new LaterFlags(release, 'IOMMU_HWPT_ALLOC, nested');
    this.hwInfoFlags = new LaterFlags(release, 'IOMMU_GET_HW_INFO');
    this.#laterFields = FIELDS_SINCE.filter(({ since }) => !isSince(release, releaseOf(since)));
    this.hwCapabilities = new LaterFlags(release, 'IOMMU_GET_HW_INFO, out_capabilities');
  }
  /** Does this kernel serve the command? */
  hasCommand(command: number): boolean {
    const row = COMMANDS_SINCE.get(command);
    if (!row || (row.onlyWith && !this.#env.has(row.onlyWith))) return false;
    return isSince(this.release, row.since) || (!!row.orWith && this.#env.has(row.orWith));
  }
  get hasMmap(): boolean {
    return isSince(this.release, MMAP_SINCE);
  }
  /** Is a field that once was reserved bytes known by name? */
  hasField(struct: string, field: string): boolean {
    return !this.laterFields(struct).some((later) => later.field === field);
  }
  /** Fields of a struct this kernel does not have, the oldest first. */
  laterFields(struct: string): readonly FieldSince[] {
    return this.#laterFields.filter((row) => row.struct === struct);
  }
  /** For the refusal of a command that only later kernels have; undefined for others. */
  tooOldFor(command: number): TooOld | undefined {
    const row = COMMANDS_SINCE.get(command);
    if (!row || isSince(this.release, row.since)) return undefined;
    return { kernel: this.release, since: row.since };
  }
  get tooOldForMmap(): TooOld {
    return { kernel: this.release, since: MMAP_SINCE };
  }
}
