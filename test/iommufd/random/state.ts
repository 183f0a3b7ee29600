/**
 * What a random program must never break, checked in one walk over everything after each command: pins that add up and
 * are charged to whom they belong, page tables that mirror their IOAS, ids lowest first, no kernel warning. The walk
 * leaves a snapshot, so that a command that failed can be shown to have changed nothing.
 */
import { Bug } from '../../../src/base/bug.ts';
import type { OpenFile, SharedPages } from '../../../src/base/file.ts';
import type { Device } from '../../../src/core/contract/device.ts';
import type { Domain } from '../../../src/core/contract/domain.ts';
import { granuleLg2 } from '../../../src/core/contract/granule.ts';
import { lookupGranule } from '../../../src/core/map/map.ts';
import { granuleOf } from '../../../src/base/word-pair.ts';
import { mockNestedOf } from '../../../src/drivers/mock/nested.ts';
import { MockPaging } from '../../../src/drivers/mock/paging.ts';
import type { Area } from '../../../src/iommufd/io-pagetable/area.ts';
import { IommufdContext } from '../../../src/iommufd/context.ts';
import { IommufdDevice } from '../../../src/iommufd/device-object.ts';
import { FaultQueue } from '../../../src/iommufd/fault.ts';
import { Hwpt } from '../../../src/iommufd/hwpt-object.ts';
import { Ioas } from '../../../src/iommufd/ioas.ts';
import type { IommufdObject } from '../../../src/iommufd/object.ts';
import type { Pages } from '../../../src/iommufd/io-pagetable/pages.ts';
import { Vdevice } from '../../../src/iommufd/vdevice.ts';
import { Veventq } from '../../../src/iommufd/veventq.ts';
import { Viommu } from '../../../src/iommufd/viommu-object.ts';
import { APERTURE } from './arguments.ts';
import { Model } from './model.ts';
import { Names, Snapshot } from './snapshot.ts';
import type { TestMm, TestTask } from '../../../src/testing/iommufd/process.ts';
import type { World } from '../../../src/testing/iommufd/world.ts';

/** What the observer looks at; the scene keeps it up to date. */
export interface Watched {
  readonly world: World;
  /** Of programs that run, and that ran. */
  readonly tasks: readonly TestTask[];
  readonly mms: readonly TestMm[];
  /** Files of contexts that are open. */
  readonly contexts: readonly OpenFile[];
  readonly devices: readonly Device[];
  /** Pages of vIOMMUs that programs have mapped, once per mapping. */
  readonly mapped: readonly SharedPages[];
}
export const UIDS = [1000, 1001];

/** Whom the pages of one map are charged to. */
interface Payer {
  readonly mm: TestMm;
  readonly uid: number;
}
interface Ids {
  objects: Map<number, IommufdObject>;
  /** Of vDEVICEs that outlived their device: taken until close. */
  readonly buried: Set<number>;
}

export class Observer {
  readonly #watched: Watched;
  readonly #model: Model;
  readonly #names = new Names();
  readonly #payers = new WeakMap<Pages, { shown: Payer; charged: Payer }>();
  readonly #ids = new WeakMap<IommufdContext, Ids>();
  /** Written in turn, so that the last one stays for comparing. */
  #now = new Snapshot();
  #last = new Snapshot();
  readonly #pages = new Set<Pages>();
  readonly #objects: IommufdObject[] = [];

  constructor(watched: Watched) {
    this.#watched = watched;
    this.#model = new Model({
      tasks: watched.tasks,
      frames: watched.world.frames,
      get mapped() {
        return watched.mapped;
      },
    });
  }

  /** Check everything after a command of `caller`, and remember what was seen. */
  look(caller: TestTask, command?: string): void {
    [this.#now, this.#last] = [this.#last, this.#now];
    this.#now.clear();
    this.#pages.clear();
    const { world, contexts, tasks, devices } = this.#watched;
    checkWarnings(world, command);
    this.#objects.length = 0;
    for (const file of contexts) this.#context(contextOf(file), caller);
    this.#model.check(this.#objects);
    for (const task of tasks) this.#task(task);
    for (const device of devices) this.#device(device);
    this.#frames();
    this.#accounts();
  }
  /** What the last command changed; undefined when nothing. */
  changed(): string | undefined {
    return this.#last.differenceTo(this.#now);
  }
  /** A caller took over the accounting of a context: CHANGE_PROCESS worked. */
  takeOver(file: OpenFile, caller: TestTask): void {
    const payer = { mm: caller.mm, uid: caller.uid };
    for (const object of contextOf(file).objects.all()) {
      if (!(object instanceof Ioas)) continue;
      for (const { pages } of object.iopt.areas.values()) {
        const known = this.#payers.get(pages);
        if (!known) continue;
        // Pages that may be locked freely stay where they are shown.
        const shown = pages.payer.mode === 'none' ? known.shown : payer;
        this.#payers.set(pages, { shown, charged: payer });
      }
    }
  }

  #task(task: TestTask): void {
    const now = this.#now;
    now.add('pid', task.pid);
    for (const [fd, file] of task.fds) {
      now.add('fd', fd);
      now.add('file', this.#names.of(file));
    }
  }
  #device({ name, iommuGroup }: Device): void {
    const now = this.#now;
    now.add('device', name);
    now.add('group domain', this.#names.of(iommuGroup?.domain));
    now.add('owners', iommuGroup?.ownerCnt);
    for (const [pasid, { domain }] of iommuGroup?.pasidArray ?? []) {
      now.add('core pasid', pasid);
      now.add('at domain', this.#names.of(domain));
    }
  }
  #frames(): void {
    for (const [pfn, pins] of this.#watched.world.frames.count) {
      this.#now.add('frame', pfn);
      this.#now.add('pins', pins);
    }
  }

  /** Pins are those of the pages objects; who mapped them is charged. */
  #accounts(): void {
    const { world, mms } = this.#watched;
    let held = 0;
    const shown = new Map<TestMm, number>();
    const locked = new Map<TestMm, number>();
    const users = new Map<number, number>();
    for (const pages of this.#pages) {
      const { npinned } = pages;
      const { mode } = pages.payer;
      held += npinned;
      const payers = this.#payers.get(pages)!;
      add(shown, payers.shown.mm, npinned);
      if (mode === 'mm') add(locked, payers.charged.mm, npinned);
      if (mode === 'user') add(users, payers.charged.uid, npinned);
    }
    mustBe('pinned pages', world.frames.totalPins, held);
    for (const mm of mms) {
      mustBe('VmPin', mm.pinnedVm, shown.get(mm) ?? 0);
      mustBe('VmLck', mm.lockedVm, locked.get(mm) ?? 0);
    }
    for (const uid of UIDS) {
      mustBe(`pages of uid ${uid}`, world.accounts.lockedPages(uid), users.get(uid) ?? 0);
    }
  }

  #context(ctx: IommufdContext, caller: TestTask): void {
    const now = this.#now;
    now.add('context', this.#names.of(ctx));
    now.add('accounting', ctx.accountMode);
    now.add('vfio ioas', ctx.vfioIoas?.id);
    if (ctx.vfioIoas && !ctx.objects.has(ctx.vfioIoas)) {
      throw new Bug('the container is an IOAS that was destroyed');
    }
    now.add('noiommu mode', ctx.noIommuMode);
    const objects = new Map<number, IommufdObject>();
    for (const object of ctx.objects.all()) {
      objects.set(object.id, object);
      this.#objects.push(object);
      this.#object(object);
      if (object instanceof Ioas) this.#ioas(object, caller);
    }
    this.#checkIds(ctx, objects);
  }
  /** Every id that is new is the lowest that was free. */
  #checkIds(ctx: IommufdContext, objects: Map<number, IommufdObject>): void {
    const ids = this.#ids.get(ctx) ?? { objects: new Map<number, never>(), buried: new Set() };
    const { objects: before, buried } = ids;
    this.#ids.set(ctx, { objects, buried });
    if (deviceIsGone(before, objects)) {
      for (const [id, object] of before) {
        if (object instanceof Vdevice && objects.get(id) !== object) buried.add(id);
      }
    }
    for (const [id, object] of objects) {
      if (buried.has(id)) throw new Bug(`id ${id} is used again, its vDEVICE was buried`);
      if (before.get(id) === object) continue;
      for (let lower = 1; lower < id; lower++) {
        if (before.has(lower) || objects.has(lower) || buried.has(lower)) continue;
        throw new Bug(`id ${id} was given while ${lower} was free`);
      }
    }
  }

  #object(object: IommufdObject): void {
    const now = this.#now;
    now.add('id', object.id);
    now.add('is', this.#names.of(object));
    now.add('users', object.users);
    if (object instanceof Hwpt) this.#hwpt(object);
    else if (object instanceof IommufdDevice) this.#attachments(object);
    else if (object instanceof FaultQueue) {
      now.add('unread faults', object.deliver.length);
      for (const [cookie] of object.awaiting.entries()) now.add('cookie', cookie);
    } else if (object instanceof Viommu) {
      for (const virtId of object.vdevices.keys()) now.add('virtual id', virtId);
      now.add('event queues', object.eventQueues.length);
    } else if (object instanceof Veventq) {
      for (const { sequence } of object.events) now.add('event', sequence);
    }
  }
  #hwpt({ domain, fault }: Hwpt): void {
    const now = this.#now;
    now.add('fault queue', fault?.id);
    if (domain.priv instanceof MockPaging) now.add('tracks', domain.priv.dirtyTracking);
    now.add('cache', mockNestedOf(domain)?.iotlb.join());
  }
  #attachments({ igroup, vdev }: IommufdDevice): void {
    const now = this.#now;
    now.add('vdevice', this.#names.of(vdev));
    for (const [pasid, { hwpt, devices }] of igroup?.attachments ?? []) {
      now.add('pasid', pasid);
      now.add('at hwpt', hwpt.id);
      now.add('by', devices.size);
    }
    now.add('group domain', this.#names.of(igroup?.group?.domain));
  }
  #ioas({ iopt, hwpts }: Ioas, caller: TestTask): void {
    const now = this.#now;
    now.add('alignment', iopt.alignment);
    now.add('large pages', iopt.largePages);
    now.add('accesses', iopt.accesses.size);
    now.add('hwpts', hwpts.length);
    for (const domain of iopt.domains) now.add('domain', this.#names.of(domain));
    for (const { start, last } of iopt.rules.usable()) {
      now.add('usable from', start);
      now.add('usable to', last);
    }
    for (const { start } of iopt.rules.allowed) now.add('allowed from', start);
    let previous: Area | undefined;
    for (const area of iopt.areas.values()) {
      this.#area(area, caller);
      checkMirror(area, iopt.domains, previous);
      previous = area;
    }
    checkHoles(iopt);
  }
  #area(area: Area, caller: TestTask): void {
    const now = this.#now;
    const { pages } = area;
    this.#pages.add(pages);
    if (!this.#payers.has(pages)) {
      const payer = { mm: caller.mm, uid: caller.uid };
      this.#payers.set(pages, { shown: payer, charged: payer });
    }
    now.add('area hi', area.startHi);
    now.add('area lo', area.startLo);
    now.add('last hi', area.lastHi);
    now.add('last lo', area.lastLo);
    now.add('accesses', area.numAccesses);
    now.add('locks', area.numLocks);
    now.add('prevented', area.preventAccess);
    now.add('prot', area.prot);
    now.add('pages', this.#names.of(pages));
    now.add('first page', area.firstIndex);
    now.add('pinned', pages.npinned);
    now.add('revoked', pages.revoked);
    now.add('storage', this.#names.of(area.storageDomain));
  }
}

/** Pages where random mappings are: the first of the aperture, and those at the end of a table. */
const PROBES = [
  ...Array.from({ length: 18 }, (_, page) => page),
  ...Array.from({ length: 6 }, (_, page) => 0x1fd + page),
].map((page) => Number(APERTURE) + page * 0x1000);

/** Where no area is, nothing is mapped. */
function checkHoles({ areas, domains }: Ioas['iopt']): void {
  if (domains.length === 0) return;
  for (const iova of PROBES) {
    if (areas.find(0, iova)) continue;
    for (const domain of domains) {
      const granule = granuleOf(0, iova, granuleLg2(domain));
      mustBe(`granule ${granule} outside of areas`, lookupGranule(domain, granule), -1);
    }
  }
}

/** A page table maps an area to its pages, page by page, and nothing before and behind it. */
function checkMirror(area: Area, domains: readonly Domain[], previous: Area | undefined): void {
  if ((area.storageDomain !== undefined) !== domains.length > 0) {
    throw new Bug('an area is filled without a domain, or not filled with one');
  }
  if (area.storageDomain && !domains.includes(area.storageDomain)) {
    throw new Bug('the pins of an area are held by a domain that was removed');
  }
  for (const domain of domains) {
    const lg2 = granuleLg2(domain);
    const perPage = 2 ** (12 - lg2);
    const start = granuleOf(area.startHi, area.startLo, lg2);
    const count = area.length / 2 ** lg2;
    const skip = area.pageOffset / 2 ** lg2;
    const step = Math.max(1, Math.floor((count - 1) / 3));
    for (let n = 0; n < count; n += step) {
      const page = Math.floor((skip + n) / perPage);
      const pfn = area.pages.revoked ? -1 : area.pages.pfn(area.firstIndex + page);
      const wanted = pfn < 0 ? -1 : pfn * perPage + ((skip + n) % perPage);
      mustBe(`granule ${n} of an area`, lookupGranule(domain, start + n), wanted);
    }
    const last = previous && granuleOf(previous.lastHi, previous.lastLo, lg2);
    if (last === undefined ? start > 0 : last < start - 1) {
      mustBe('the granule before an area', lookupGranule(domain, start - 1), -1);
    }
  }
}

/** What a program can make Linux warn of, and by which command; undefined: by any. */
const KNOWN_WARNINGS = new Map<string, string | undefined>([
  // VFIO_IOMMU_MAP_DMA lets neither READ nor WRITE through (6).
  ['map-no-access', undefined],
  // A PASID can be attached to a device that has none: nothing is programmed (core.md 5), and no device could fault there.
  ['iopf-no-param', 'IOMMU_TEST_OP_TRIGGER_IOPF'],
]);

function checkWarnings({ env }: World, command: string | undefined): void {
  const found = env.warnings.splice(0).filter((id) => {
    const by = KNOWN_WARNINGS.get(id);
    return !KNOWN_WARNINGS.has(id) || (by !== undefined && by !== command);
  });
  if (found.length > 0) throw new Bug(`WARN: ${found.join()}`);
}
function deviceIsGone(
  before: Map<number, IommufdObject>,
  after: Map<number, IommufdObject>,
): boolean {
  for (const [id, object] of before) {
    if (object instanceof IommufdDevice && after.get(id) !== object) return true;
  }
  return false;
}
export function contextOf({ priv }: OpenFile): IommufdContext {
  if (priv instanceof IommufdContext) return priv;
  throw new Bug('not an iommufd');
}
function add<K>(sums: Map<K, number>, key: K, count: number): void {
  sums.set(key, (sums.get(key) ?? 0) + count);
}
function mustBe(what: string, is: number, wanted: number): void {
  if (is !== wanted) throw new Bug(`${what}: ${is}, should be ${wanted}`);
}
