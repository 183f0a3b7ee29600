/**
 * A unit as its driver knows it: struct intel_iommu. Registers, root table, context tables, domain ids
 * (formats.md 7; VT-d 6.6, 9.1 to 9.4).
 *
 * Everything here is written into RAM or into registers; the unit is reached no other way.
 */
import { isErrno, type Result } from '../../../base/errno.ts';
import { pow2 } from '../../../base/u64.ts';
import type { Domain } from '../../../core/contract/domain.ts';
import type { IommuDevice } from '../../../core/contract/driver.ts';
import type { IommuCore } from '../../../core/contract/iommu-core.ts';
import type { IommuGroup } from '../../../core/contract/group.ts';
import { iopfQueueAlloc } from '../../../core/contract/iopf.ts';
import { type IopfQueue } from '../../../core/contract/iopf-queue.ts';
import type { PciFunction } from '../../../pci/topology.ts';
import { FRAME_WORDS } from '../../../pt/ram.ts';
import { DomainIds } from '../../domain-ids.ts';
import type { EnableBits } from '../../iommu-type.ts';
import { write64, type RegisterPort } from '../../unit/register-port.ts';
import type { Requesters } from '../../unit/requesters.ts';
import type { IntelHardware } from '../hardware.ts';
import { QueuedInvalidation } from './queue.ts';
import {
  GCMD_QIE,
  GCMD_SRTP,
  GCMD_TE,
  pqa,
  REG_GCMD,
  REG_PQA,
  REG_RTADDR,
  rtaddr,
  RTADDR_LEGACY,
  RTADDR_SCALABLE,
} from '../registers.ts';
import { legacyContext, legacyRoot, scalableContext, scalableRoot } from '../words.ts';

/** Used by first-stage, pass-through and shared address spaces. */
export const FLPT_DEFAULT_DID = 1;
/** 0 is never used; 1 is FLPT_DEFAULT_DID. */
const FIRST_DID = 2;

/** A memory range firmware wants identity-mapped for a device (RMRR). */
export interface Rmrr {
  readonly start: bigint;
  readonly length: bigint;
  readonly relaxable?: boolean;
  /** Which functions it belongs to. */
  readonly of: (fn: PciFunction) => boolean;
}

export interface IntelIommuConfig {
  readonly hw: IntelHardware;
  readonly port: RegisterPort;
  /** Probed devices. */
  readonly requesters: Requesters;
  /** ATS and page requests of the devices: their capabilities' enable bits. */
  readonly ats: EnableBits;
  readonly rmrrs: readonly Rmrr[];
  /** Functions behind this unit; undefined: all that no other unit claims. */
  readonly scope: ((fn: PciFunction) => boolean) | undefined;
  /** The driver's opinion of a device's default domain type, 0 for none. */
  readonly defDomainType: ((fn: PciFunction) => number) | undefined;
}

export class IntelIommu implements IommuDevice {
  readonly name: string;
  readonly core: IommuCore;
  readonly hw: IntelHardware;
  readonly config: IntelIommuConfig;
  readonly queue: QueuedInvalidation;
  /** Devices that ask for pages; undefined on a unit without page requests. */
  readonly iopfQueue: IopfQueue | undefined;
  /** Frame of the page request queue, 0 without one. */
  readonly prqPfn: number;
  readonly domainIds: DomainIds<Domain>;
  readonly #port: RegisterPort;
  readonly #rootPfn: number;

  // struct iommu_device
  ops: IommuDevice['ops'];
  fwnode: object | null = null;
  singletonGroup: IommuGroup | undefined;
  maxPasids: number;
  ready = false;
  priv: unknown;

  private constructor(
    core: IommuCore,
    ops: IommuDevice['ops'],
    config: IntelIommuConfig,
    frames: { root: number; prq: number; queue: QueuedInvalidation },
  ) {
    this.core = core;
    this.ops = ops;
    this.config = config;
    this.hw = config.hw;
    this.name = config.hw.name;
    this.maxPasids = config.hw.pasidBits > 0 ? pow2(config.hw.pasidBits) : 0;
    this.domainIds = new DomainIds(this.name, FIRST_DID, pow2(config.hw.domainIdBits));
    this.#port = config.port;
    this.#rootPfn = frames.root;
    this.queue = frames.queue;
    this.prqPfn = frames.prq;
    this.iopfQueue =
      frames.prq > 0 ? iopfQueueAlloc(core.env, `${config.hw.name}-iopfq`) : undefined;
  }

  /** Allocate the tables and switch the unit on: nothing is present yet, so everything is blocked. */
  static create(
    core: IommuCore,
    ops: IommuDevice['ops'],
    config: IntelIommuConfig,
  ): Result<IntelIommu, 'ENOMEM'> {
    const root = core.ram.alloc();
    if (isErrno(root)) return root;
    const { hw, port } = config;
    const queue = QueuedInvalidation.create(core.env, core.ram, port, hw);
    if (isErrno(queue)) {
      core.ram.free(root);
      return queue;
    }
    const prq = hw.pageRequests ? core.ram.alloc() : 0;
    if (isErrno(prq)) {
      queue.destroy();
      core.ram.free(root);
      return prq;
    }
    const iommu = new IntelIommu(core, ops, config, { root, prq, queue });
    iommu.#switchOn();
    return iommu;
  }

  #switchOn(): void {
    write64(this.#port, REG_RTADDR, (words, at) => {
      rtaddr.mode.set(words, at, this.hw.scalable ? RTADDR_SCALABLE : RTADDR_LEGACY);
      rtaddr.address.set(words, at, this.#rootPfn);
    });
    if (this.prqPfn > 0) {
      write64(this.#port, REG_PQA, (words, at) => pqa.address.set(words, at, this.prqPfn));
    }
    this.#port.write32(REG_GCMD, GCMD_SRTP | GCMD_QIE);
    this.queue.contextGlobal();
    if (this.hw.scalable) this.queue.pasidCacheGlobal();
    this.queue.iotlbGlobal();
    this.#port.write32(REG_GCMD, GCMD_TE | GCMD_QIE);
  }

  /** Word index of a context entry; undefined when its table was never needed. */
  findContext(requesterId: number): number | undefined {
    const { words } = this.core.ram;
    const root = this.#rootPfn * FRAME_WORDS + (requesterId >> 8) * 4;
    if (!this.hw.scalable) {
      if (legacyRoot.p.get(words, root) === 0) return undefined;
      return legacyRoot.contextTable.get(words, root) * FRAME_WORDS + (requesterId & 0xff) * 4;
    }
    const { present, table } = scalableHalf(requesterId);
    if (present.get(words, root) === 0) return undefined;
    return table.get(words, root) * FRAME_WORDS + (requesterId & 0x7f) * 8;
  }

  /** The same, with the table allocated where it is missing. */
  contextOf(requesterId: number): Result<number, 'ENOMEM'> {
    const found = this.findContext(requesterId);
    if (found !== undefined) return found;
    const frame = this.core.ram.alloc();
    if (isErrno(frame)) return frame;
    const { words } = this.core.ram;
    const root = this.#rootPfn * FRAME_WORDS + (requesterId >> 8) * 4;
    const half = this.hw.scalable
      ? scalableHalf(requesterId)
      : { present: legacyRoot.p, table: legacyRoot.contextTable };
    half.table.set(words, root, frame);
    half.present.set(words, root, 1);
    return this.findContext(requesterId)!;
  }

  isContextPresent(requesterId: number): boolean {
    const at = this.findContext(requesterId);
    if (at === undefined) return false;
    const p = this.hw.scalable ? scalableContext.p : legacyContext.p;
    return p.get(this.core.ram.words, at) === 1;
  }

  /** Clear an entry in the order of formats.md 7: P first, caches, then the rest. */
  clearContext(requesterId: number): void {
    const at = this.findContext(requesterId);
    if (at === undefined || !this.isContextPresent(requesterId)) return;
    const { words } = this.core.ram;
    const did = this.hw.scalable ? 0 : legacyContext.did.get(words, at);
    const p = this.hw.scalable ? scalableContext.p : legacyContext.p;
    p.set(words, at, 0);
    this.queue.contextDevice(did, requesterId);
    if (this.hw.scalable) this.queue.pasidCacheGlobal();
    if (this.hw.scalable) this.queue.iotlbGlobal();
    else this.queue.iotlbDomain(did);
    words.fill(0, at, at + (this.hw.scalable ? 8 : 4));
  }
}

function scalableHalf(requesterId: number) {
  return (requesterId & 0x80) !== 0
    ? { present: scalableRoot.up, table: scalableRoot.upperTable }
    : { present: scalableRoot.lp, table: scalableRoot.lowerTable };
}
