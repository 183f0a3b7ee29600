/** What a random program must never break: pins that add up, ids lowest first, and a state that failures leave alone. */
import { Bug } from '../../src/base/bug.ts';
import type { Domain } from '../../src/core/domain.ts';
import { lookupGranule } from '../../src/core/map.ts';
import { granuleLg2 } from '../../src/core/granule.ts';
import { granuleOf } from '../../src/base/word-pair.ts';
import type { Area } from '../../src/iommufd/area.ts';
import { IommufdContext } from '../../src/iommufd/context.ts';
import { IommufdDevice } from '../../src/iommufd/device-object.ts';
import { Ioas } from '../../src/iommufd/ioas.ts';
import type { Pages } from '../../src/iommufd/pages.ts';
import { Vdevice } from '../../src/iommufd/vdevice.ts';
import type { IommufdObject } from '../../src/iommufd/object.ts';
import type { Iommufd, World } from './world.ts';

/** Names for objects that have none, so that two texts of one state are equal. */
class Names {
  readonly #numbers = new Map<object, number>();
  of(object: object | undefined): number {
    if (!object) return 0;
    let number = this.#numbers.get(object);
    if (number === undefined) this.#numbers.set(object, (number = this.#numbers.size + 1));
    return number;
  }
}

export class Observer {
  readonly #world: World;
  readonly #contexts: Iommufd[];
  readonly #names = new Names();
  /** Ids of vDEVICEs that outlived their device: taken until close. By context. */
  readonly #buried = new Map<IommufdContext, Set<number>>();

  constructor(world: World, contexts: Iommufd[]) {
    this.#world = world;
    this.#contexts = contexts;
  }

  /** Everything a program or a device can see, as text. */
  digest(): string {
    const parts = this.#contexts.map((fd) => this.#context(fd));
    for (const [pfn, pins] of this.#world.frames.count) if (pins > 0) parts.push(`${pfn}*${pins}`);
    return parts.join('\n');
  }

  /** Pins are those of the pages objects, and processes are charged for them. */
  checkPins(): void {
    const all = new Set<Pages>();
    for (const { file } of this.#contexts) {
      for (const object of contextOf(file.priv).objects.all()) {
        if (!(object instanceof Ioas)) continue;
        for (const area of object.iopt.areas.values()) all.add(area.pages);
      }
    }
    const held = [...all].reduce((sum, pages) => sum + pages.npinned, 0);
    const { totalPins } = this.#world.frames;
    if (held !== totalPins) throw new Bug(`${held} pages are held, ${totalPins} pins are taken`);
    const tasks = new Set(this.#contexts.map((fd) => fd.task));
    const charged = [...tasks].reduce((sum, task) => sum + task.mm.pinnedVm, 0);
    if (charged !== totalPins) throw new Bug(`${charged} pages are charged, ${totalPins} pinned`);
  }

  /** Run a step on one context: every id it makes is the lowest that was free. */
  withLowestIds<T>(fd: Iommufd, run: () => T): T {
    const ctx = contextOf(fd.file.priv);
    const before = idsOf(ctx);
    const result = run();
    const after = idsOf(ctx);
    const buried = this.#buried.get(ctx) ?? new Set();
    this.#buried.set(ctx, buried);
    const gone = [...before].filter(([id]) => !after.has(id));
    if (gone.some(([, object]) => object instanceof IommufdDevice)) {
      for (const [id, object] of gone) if (object instanceof Vdevice) buried.add(id);
    }
    for (const id of after.keys()) {
      if (before.has(id)) continue;
      if (buried.has(id)) throw new Bug(`id ${id} is used again, its vDEVICE was buried`);
      for (let lower = 1; lower < id; lower++) {
        const taken = before.has(lower) || after.has(lower) || buried.has(lower);
        // An access of the selftest has an id that only lives as long as its fd.
        if (!taken) throw new Bug(`id ${id} was given while ${lower} was free`);
      }
    }
    return result;
  }

  #context(fd: Iommufd): string {
    const ctx = contextOf(fd.file.priv);
    const lines = [`fds ${[...fd.task.fds.keys()].join()} vm ${fd.task.mm.pinnedVm}`];
    for (const object of ctx.objects.all()) {
      lines.push(`${object.id} ${object.constructor.name} ${object.users}`);
      if (object instanceof Ioas) lines.push(...this.#ioas(object));
      if (object instanceof IommufdDevice) lines.push(`on ${this.#attached(object)}`);
    }
    return lines.join('\n');
  }
  #attached(device: IommufdDevice): string {
    const { igroup } = device;
    const to = [...(igroup?.attachments ?? [])].map(
      ([pasid, { hwpt, devices }]) => `${pasid}:${hwpt.id}*${devices.size}`,
    );
    return `${to.join()} domain ${this.#names.of(igroup?.group?.domain)}`;
  }
  #ioas(ioas: Ioas): string[] {
    const { iopt } = ioas;
    const lines = [
      `alignment ${iopt.alignment} large ${iopt.largePages} accesses ${iopt.accesses.size}`,
      `domains ${iopt.domains.map((d) => this.#names.of(d)).join()} hwpts ${ioas.hwpts.length}`,
      ...iopt.rules.usable().map((r) => `${r.start}-${r.last}`),
    ];
    for (const area of iopt.areas.values()) {
      lines.push(this.#area(area), ...iopt.domains.map((domain) => mapped(area, domain)));
    }
    return lines;
  }
  #area(area: Area): string {
    const place = [area.startHi, area.startLo, area.lastHi, area.lastLo].join();
    const uses = [area.numAccesses, area.numLocks, area.preventAccess, area.prot].join();
    const { pages } = area;
    return `${place} ${uses} ${this.#names.of(pages)}+${area.firstIndex} ${pages.npinned} in ${this.#names.of(area.storageDomain)}`;
  }
}

/** Where the first granules of an area lead to. */
function mapped(area: Area, domain: Domain): string {
  const lg2 = granuleLg2(domain);
  const start = granuleOf(area.startHi, area.startLo, lg2);
  const count = Math.min(8, area.length / 2 ** lg2);
  return Array.from({ length: count }, (_, n) => lookupGranule(domain, start + n)).join();
}
function contextOf(priv: object): IommufdContext {
  if (priv instanceof IommufdContext) return priv;
  throw new Bug('not an iommufd');
}
function idsOf(ctx: IommufdContext): Map<number, IommufdObject> {
  return new Map([...ctx.objects.all()].map((object) => [object.id, object]));
}
