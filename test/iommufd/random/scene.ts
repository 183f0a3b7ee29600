/** Programs at work on /dev/iommu: who they are, what they have open, and what must hold after each of their steps. */
import { Bug } from '../../../src/base/bug.ts';
import { EFAULT, EMFILE, ENODEV, ESRCH, isErrno, type Result } from '../../../src/base/errno.ts';
import { OpenFile, type ForeignFile, type Mapping } from '../../../src/base/file.ts';
import { hiWord, loWord } from '../../../src/base/word-pair.ts';
import type { IommuCore } from '../../../src/core/contract/iommu-core.ts';
import { stateDigest } from '../../../src/core/state-digest.ts';
import { IommufdContext } from '../../../src/iommufd/context.ts';
import { IommufdDevice, type Attachment } from '../../../src/iommufd/device-object.ts';
import { openIommufd, openVfioCompat } from '../../../src/iommufd/main.ts';
import { HwptPaging } from '../../../src/iommufd/hwpt-object.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../../src/pt/page-table.ts';
import type { Device } from '../../../src/core/contract/device.ts';
import type { VfioNode } from '../../../src/vfio/vfio-core.ts';
import { didFail, SKIPPED, type Step } from './command.ts';
import type { Coverage } from './coverage.ts';
import { plugIn, ramOfUnit, type Hardware, type UnitName } from './hardware.ts';
import { Caller } from './picks.ts';
import { contextOf, Observer, UIDS } from './state.ts';
import { commandOf, isPartialIoctl, type Turn } from './steps.ts';
import { Iommufd, World } from '../../../src/testing/iommufd/world.ts';
import { type TestMm, type TestTask } from '../../../src/testing/iommufd/process.ts';

const MAX_TASKS = 3;
/** Interrupt messages are not translated. */
const MSI = { first: 0xfee0_0000n, last: 0xfeef_ffffn };
const NO_HARDWARE: Hardware = {
  devices: [],
  requesters: [],
  cdevs: [],
  groups: [],
  unbind: () => ENODEV,
  bind: () => ENODEV,
  unplug: () => undefined,
};

type PagesMapping = Extract<Mapping, { kind: 'pages' }>;
interface ProgramMapping {
  readonly task: TestTask;
  readonly mapping: PagesMapping;
  readonly file: OpenFile;
}

export class Scene {
  readonly world = new World({
    ramBytes: 1 << 21,
    traits: ['noiommu-cdev', 'unsafe-noiommu-mode'],
  });
  readonly #hardware: Hardware;
  readonly #observer: Observer;
  readonly #coverage: Coverage;
  readonly #tasks: TestTask[] = [];
  readonly #mms: TestMm[] = [];
  #contexts: OpenFile[] = [];
  #mappings: ProgramMapping[] = [];
  readonly #ramUsed: number;
  readonly #coreState: string;
  /** Says at each point where something can fail whether it does. */
  fails: (() => boolean) | undefined;
  #armed = false;

  constructor(coverage: Coverage, unit?: UnitName) {
    const { world } = this;
    this.#coverage = coverage;
    this.#ramUsed = world.ram.used + (unit ? ramOfUnit(unit) : 0);
    this.#hardware = unit ? plugIn(world, unit) : NO_HARDWARE;
    this.#coreState = coreState(world.core);
    const ofTask = world.fails;
    world.fails = (point, current) =>
      point === 'frame' ? this.#isUnlucky() : ofTask(point, current);
    const task = this.#addTask(world.task());
    this.open(task, false);
    const scene = this;
    this.#observer = new Observer({
      world,
      tasks: this.#tasks,
      mms: this.#mms,
      get contexts() {
        return scene.#contexts;
      },
      devices: this.#hardware.devices,
      get mapped() {
        return scene.#mappings.map(({ mapping }) => mapping.pages);
      },
    });
    this.#observer.look(task);
  }

  /** A step, and everything that must hold after it: did it work? Undefined when it did not apply. */
  run({ task: n, context, step }: Turn): boolean | undefined {
    const task = this.taskAt(n);
    const caller = new Caller(task, this.#iommufdOf(task, context));
    const command = commandOf(step);
    this.#armed = true;
    const result = command.run(caller, step, this);
    this.#armed = false;
    if (result === SKIPPED) return undefined;
    const failed = didFail(result);
    this.#coverage.note(step, failed);
    if (!failed && command.name === 'IOMMU_IOAS_CHANGE_PROCESS') {
      this.#observer.takeOver(caller.fd!.file, task);
    }
    this.#contexts = this.#contexts.filter((file) => !file.released);
    this.#observer.look(task, command.name);
    if (failed && !isExcused(step)) {
      const changed = this.#observer.changed();
      if (changed) throw new Bug(`${command.name} failed and changed something:\n${changed}`);
    }
    return !failed;
  }

  taskAt(n: number): TestTask {
    return this.#tasks[n % this.#tasks.length]!;
  }
  open(task: TestTask, compat: boolean): number {
    const { subsystem } = this.world;
    const file = compat ? openVfioCompat(subsystem) : openIommufd(subsystem);
    this.#contexts.push(file);
    return task.installFile(file);
  }
  fork(task: TestTask): Result<number> {
    if (this.#tasks.length === MAX_TASKS) return EMFILE;
    const child = this.#addTask(task.fork());
    for (const own of this.#mappings.filter((m) => m.task === task)) {
      own.mapping.open();
      own.file.get();
      this.#mappings.push({ ...own, task: child });
    }
    return child.pid;
  }
  exit(task: TestTask): Result<number> {
    if (this.#tasks.length === 1) return ESRCH;
    this.#unmapAll(task);
    task.exit();
    this.#tasks.splice(this.#tasks.indexOf(task), 1);
    return 0;
  }
  exec(task: TestTask): void {
    this.#unmapAll(task);
    task.exec(this.world.mm());
    this.#mms.push(task.mm);
  }
  addMapping(task: TestTask, mapping: PagesMapping, file: OpenFile): void {
    this.#mappings.push({ task, mapping, file: file.get() });
  }
  dropMapping(task: TestTask, n: number): Result<number> {
    const own = this.#mappings.filter((m) => m.task === task);
    const gone = own[n % own.length];
    if (!gone) return EFAULT;
    this.#drop(gone);
    return 0;
  }
  openCdev(task: TestTask, n: number): Result<number> | typeof SKIPPED {
    return this.#openNode(task, this.#hardware.cdevs, n);
  }
  openGroup(task: TestTask, n: number): Result<number> | typeof SKIPPED {
    return this.#openNode(task, this.#hardware.groups, n);
  }
  unbind(n: number): Result<number> {
    return this.#hardware.unbind(n);
  }
  bind(n: number): Result<number> {
    return this.#hardware.bind(n);
  }
  /** Now and then one that is not there. */
  deviceName(n: number): string {
    return this.#hardware.devices[n]?.name ?? 'nobody';
  }
  #openNode(
    task: TestTask,
    nodes: readonly VfioNode[],
    n: number,
  ): Result<number> | typeof SKIPPED {
    const node = nodes[n % nodes.length];
    if (!node) return SKIPPED;
    const file = node.open(task);
    return isErrno(file) ? file : give(task, file);
  }

  /** A request of a device: it gets what the attached page table says, and nothing where nothing is mapped. */
  dma(
    n: number,
    { iova, pasid, write }: { iova: bigint; pasid: number; write: boolean },
  ): Result<number> | typeof SKIPPED {
    const { requesters } = this.#hardware;
    const requester = requesters[n % requesters.length];
    if (!requester || (iova >= MSI.first && iova <= MSI.last)) return SKIPPED;
    // Attaching to a PASID works on a device that has none, and means nothing (core.md 5).
    if (pasid >= 0 && requester.dev.iommu?.maxPasids === 0) return SKIPPED;
    const got = requester.translate(Number(iova >> 12n), pasid, write);
    const attachment = this.#attachmentOf(requester.dev, Math.max(pasid, 0));
    const wanted = attachment ? pageOf(attachment, iova, write) : -1;
    if (wanted !== undefined && got !== wanted) {
      throw new Bug(`${requester.dev.name} reaches page ${got} at ${iova}, not ${wanted}`);
    }
    return got < 0 ? EFAULT : 0;
  }

  /** What happens at the end: every program exits. */
  close(): void {
    this.fails = undefined;
    for (const task of this.#tasks) {
      this.#unmapAll(task);
      task.exit();
    }
    const { world } = this;
    for (let n = 0; n < this.#hardware.devices.length; n++) void this.bind(n);
    const state = coreState(world.core);
    if (state !== this.#coreState) {
      throw new Bug(`the core is not as at the start:\n${this.#coreState}\nnow\n${state}`);
    }
    this.#hardware.unplug();
    const mms = this.#mms.map((mm) => mm.pinnedVm + mm.lockedVm);
    const users = UIDS.map((uid) => world.accounts.lockedPages(uid));
    const leaks = {
      contexts: this.#contexts.filter((file) => !file.released).length,
      pins: world.frames.totalPins,
      charges: [...mms, ...users].reduce((sum, pages) => sum + Math.abs(pages), 0),
      frames: world.ram.used - this.#ramUsed,
      'shared pages': world.sharedPagesMade - world.sharedPagesFreed,
    };
    for (const [what, count] of Object.entries(leaks)) {
      if (count !== 0) throw new Bug(`${count} ${what} are left at the end`);
    }
  }

  #isUnlucky(): boolean {
    return this.#armed && this.fails?.() === true;
  }
  #addTask(task: TestTask): TestTask {
    task.failing = () => this.#isUnlucky();
    this.#tasks.push(task);
    this.#mms.push(task.mm);
    return task;
  }
  #iommufdOf(task: TestTask, n: number): Iommufd | undefined {
    const open: OpenFile[] = [];
    for (const file of task.fds.values()) {
      if (file instanceof OpenFile && file.priv instanceof IommufdContext) open.push(file);
    }
    const file = open[n % open.length];
    return file && new Iommufd(this.world, task, file);
  }
  #attachmentOf(dev: Device, pasid: number): Attachment | undefined {
    for (const file of this.#contexts) {
      for (const object of contextOf(file).objects.all()) {
        if (!(object instanceof IommufdDevice) || object.igroup?.group !== dev.iommuGroup) continue;
        return object.igroup?.attachments.get(pasid);
      }
    }
    return undefined;
  }
  #unmapAll(task: TestTask): void {
    for (const own of this.#mappings.filter((m) => m.task === task)) this.#drop(own);
  }
  #drop(gone: ProgramMapping): void {
    this.#mappings = this.#mappings.filter((m) => m !== gone);
    gone.mapping.close();
    gone.file.put();
  }
}

/** A descriptor for a file whose reference the caller has; the program may have none left. */
export function give(task: TestTask, file: OpenFile | ForeignFile): Result<number> {
  const fd = task.installFile(file, true);
  if (isErrno(fd) && file instanceof OpenFile) file.put();
  return fd;
}

/** But for what stays: a group keeps the blocking domain it once needed, and one made anew has another number. */
function coreState(core: IommuCore): string {
  const lines = stateDigest(core)
    .replaceAll(/ blocking=\S+|\nwarnings .*/g, '')
    .replaceAll(/group.\d+/g, 'group');
  return lines.split('\n').sort().join('\n');
}
function isExcused(step: Step): boolean {
  const { partial, unanswered } = commandOf(step);
  if (partial !== undefined) return true;
  // With a bit turned over it may be what another row is.
  if (step.flaws?.flip) return isPartialIoctl(commandOf(step).cmd);
  return unanswered !== undefined && step.flaws?.place === 'read-only';
}

/** The page a request gets; -1 for none, undefined where a guest's own table decides. */
function pageOf({ hwpt }: Attachment, iova: bigint, write: boolean): number | undefined {
  if (!(hwpt instanceof HwptPaging)) return undefined;
  const area = hwpt.ioas.iopt.areas.find(hiWord(iova), loWord(iova));
  if (!area || area.pages.revoked) return -1;
  const { prot } = area;
  if (write && (prot & IOMMU_WRITE) === 0) return -1;
  // What can be written can be read in a first-stage table.
  if (!write && (prot & IOMMU_READ) === 0) return undefined;
  return area.pages.pfn(area.indexAt(hiWord(iova), loWord(iova)));
}
