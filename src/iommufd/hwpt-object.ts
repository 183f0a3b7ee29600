/** Hardware page tables: paging ones mirror an IOAS, nested ones are the user's on top of one (iommufd.md 1.5, 2.11). */
import type { Domain } from '../core/contract/domain.ts';
import { domainFree } from '../core/map/domain-alloc.ts';
import type { IommufdContext } from './context.ts';
import type { FaultQueue } from './fault.ts';
import { Ioas } from './ioas.ts';
import { removeDomain } from './io-pagetable/iopt-domains.ts';
import { IommufdObject } from './object.ts';
import type { SwMsiPage } from './sw-msi.ts';

export abstract class Hwpt extends IommufdObject {
  readonly ctx: IommufdContext;
  readonly domain: Domain;
  /** Allocated with IOMMU_HWPT_ALLOC_PASID. */
  readonly pasidCompat: boolean;
  fault: FaultQueue | undefined;
  /** The paging hwpt at the bottom: itself, or the parent. */
  abstract readonly paging: HwptPaging;

  constructor(ctx: IommufdContext, domain: Domain, pasidCompat: boolean) {
    super();
    this.ctx = ctx;
    this.domain = domain;
    this.pasidCompat = pasidCompat;
  }
  protected freeDomain(): void {
    domainFree(this.domain);
    if (this.fault) this.fault.users--;
  }
}

export interface PagingInit {
  readonly domain: Domain;
  readonly pasidCompat: boolean;
  readonly nestParent: boolean;
  readonly enforceCacheCoherency: boolean;
}

export class HwptPaging extends Hwpt {
  static readonly kind = 'HWPT_PAGING';
  readonly ioas: Ioas;
  readonly nestParent: boolean;
  readonly enforceCacheCoherency: boolean;
  /** Made by attaching to an IOAS: freed with its last attachment, found by the search. */
  autoDomain = false;
  /** Dirty tracking is on. */
  dirtyTracking = false;
  /** Doorbell pages mapped in the domain beside the areas. */
  readonly presentSwMsi = new Set<SwMsiPage>();

  constructor(ioas: Ioas, init: PagingInit) {
    super(ioas.ctx, init.domain, init.pasidCompat);
    this.ioas = ioas;
    this.nestParent = init.nestParent;
    this.enforceCacheCoherency = init.enforceCacheCoherency;
    ioas.users++;
  }
  override get paging(): this {
    return this;
  }
  override destroy(): void {
    const at = this.ioas.hwpts.indexOf(this);
    if (at >= 0) {
      this.ioas.hwpts.splice(at, 1);
      removeDomain(this.ioas.iopt, this.domain);
    }
    this.freeDomain();
    this.ioas.users--;
  }
}

export class HwptNested extends Hwpt {
  static readonly kind = 'HWPT_NESTED';
  override readonly paging: HwptPaging;
  /** What it was allocated on, the parent or a vIOMMU. */
  readonly holder: IommufdObject;

  constructor(
    paging: HwptPaging,
    holder: IommufdObject,
    init: { readonly domain: Domain; readonly pasidCompat: boolean },
  ) {
    super(paging.ctx, init.domain, init.pasidCompat);
    this.paging = paging;
    this.holder = holder;
    holder.users++;
  }
  override destroy(): void {
    this.freeDomain();
    this.holder.users--;
  }
}
