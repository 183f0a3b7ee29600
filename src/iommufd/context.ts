/** One open of /dev/iommu: its objects, and what is common to them (iommufd.md chapter 1). */
import { Bug } from '../base/bug.ts';
import type { OpenFile } from '../base/file.ts';
import { CAP_IPC_LOCK, type Mm, type Task } from '../base/task.ts';
import { MmapRegions } from './mmap.ts';
import { ObjectTable, type IommufdObject } from './object.ts';
import type { AccountMode } from './io-pagetable/accounting.ts';
import {
  LastBacking,
  type PageBacking,
  type PageOrigin,
  type UserOrigin,
} from './io-pagetable/page-backing.ts';
import type { IommufdSubsystem } from './subsystem.ts';
import { SwMsiPages } from './sw-msi.ts';

export class IommufdContext {
  readonly subsystem: IommufdSubsystem;
  readonly objects: ObjectTable;
  readonly mmapRegions = new MmapRegions();
  readonly swMsiPages = new SwMsiPages();
  /** What pages of callers who may not lock freely are charged to. */
  accountMode: AccountMode;
  /** The IOAS that plays the container of VFIO; no user is held on it. */
  vfioIoas: IommufdObject | undefined;
  /** A noiommu group uses this context as its container. */
  noIommuMode = false;
  /** In events. */
  readonly #id: string;
  #file: OpenFile | undefined;
  #userOrigin: UserOrigin | undefined;
  readonly #lastBacking = new LastBacking();

  constructor(subsystem: IommufdSubsystem, accountMode: AccountMode) {
    this.subsystem = subsystem;
    this.accountMode = accountMode;
    this.#id = subsystem.newContextId();
    this.objects = new ObjectTable(subsystem.env, this.#id);
    subsystem.env.refs.born(this, 'iommufd', this.#id);
  }
  get file(): OpenFile {
    if (!this.#file) throw new Bug('an iommufd without its file');
    return this.#file;
  }
  set file(file: OpenFile) {
    this.#file = file;
  }
  /** The origin of memory of an address space: the same object for one mapping after the other. */
  userOrigin(mm: Mm): UserOrigin {
    if (this.#userOrigin?.mm !== mm) this.#userOrigin = { kind: 'user', mm };
    return this.#userOrigin;
  }
  /** Who pays for memory that a task maps, as it is now; one call after the other gets the same object. */
  backing(task: Task, origin: PageOrigin, writable: boolean): PageBacking {
    const isFree = origin.kind === 'dmabuf' || task.capable(CAP_IPC_LOCK);
    const payer = this.subsystem.accounting.payerOf(task, isFree ? 'none' : this.accountMode);
    return this.#lastBacking.get(this.subsystem, origin, writable, payer);
  }
  /** The last reference to the file is gone. */
  release(): void {
    this.objects.destroyAll();
    this.subsystem.env.refs.gone(this, 'iommufd', this.#id);
  }
}
