/** The port of one device: its transfers, its function's interrupts and switches, ATS, and what it uses of the host. */
import { Bug, bugOn } from '../../base/bug.ts';
import { EFAULT, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { hex } from '../../base/u64.ts';
import type { UnitAnswer } from '../../core/contract/remapping-unit.ts';
import type { HostServices } from '../../devices/host-services.ts';
import type {
  AtsTranslation,
  ConfigSwitch,
  DeviceAts,
  ConfigPort,
  DevicePageRequest,
  DevicePort,
} from '../../devices/port.ts';
import type { PciDeviceFunction } from '../../pci/function.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../pt/page-table.ts';
import type { DmaPort } from './dma-port.ts';
import type { SlotMigration } from './slot-migration.ts';

/** What a device model is created with. `migration`: it can be stopped. */
export function devicePort(
  fn: PciDeviceFunction,
  dma: DmaPort,
  host: HostServices,
  migration?: SlotMigration,
): DevicePort {
  return {
    dma,
    irq: {
      message: (vector) => fn.raise(vector),
      get messagesEnabled() {
        return fn.messagesEnabled;
      },
      intx: (asserted) => fn.setIntx(asserted),
    },
    clock: migration?.clock ?? fn.env.clock,
    ats: fn.identity.ats && fn.identity.pcie ? new AtsPort(fn, dma) : undefined,
    config: configOf(fn, migration),
    host,
    barMemory(bar) {
      const memory = fn.bars[bar]?.memory;
      if (!memory) throw new Bug(`BAR ${bar} of ${fn.name} has no pages of memory`);
      return memory;
    },
  };
}

const SWITCHES: Readonly<Record<ConfigSwitch, (fn: PciDeviceFunction) => boolean>> = {
  busMaster: (fn) => fn.busMaster,
  memoryDecode: (fn) => fn.memoryEnabled,
  ioDecode: (fn) => fn.ioEnabled,
  power: (fn) => fn.powerState === 0,
  messages: (fn) => fn.messagesEnabled,
  ats: (fn) => fn.atsEnabled,
  pageRequests: (fn) => fn.pageRequestsEnabled,
  virtualFunctions: (fn) => fn.virtualFunctions > 0,
};

function configOf(fn: PciDeviceFunction, migration?: SlotMigration): ConfigPort {
  return {
    name: fn.name,
    is: (what) => SWITCHES[what](fn),
    get virtualFunctions() {
      return fn.virtualFunctions;
    },
    set(offset, value) {
      const isOwn = fn.identity.configRegisters?.some((register) => register.offset === offset);
      bugOn(!isOwn, `${fn.name} has no register of its own at ${offset} of configuration space`);
      fn.config.force(offset, 4, value);
    },
    watch(what, run) {
      let last = SWITCHES[what](fn);
      const look = (): void => {
        if (migration?.isStopped) return;
        const now = SWITCHES[what](fn);
        if (now === last) return;
        last = now;
        run(now);
      };
      fn.watchers.add(look);
      const asleep = migration?.whenStarted(look);
      return {
        [Symbol.dispose]() {
          fn.watchers.delete(look);
          asleep?.[Symbol.dispose]();
        },
      };
    },
  };
}

/** Without a unit nobody answers translation requests. */
class AtsPort implements DeviceAts {
  readonly #fn: PciDeviceFunction;
  readonly #dma: DmaPort;

  constructor(fn: PciDeviceFunction, dma: DmaPort) {
    this.#fn = fn;
    this.#dma = dma;
  }
  get enabled(): boolean {
    return this.#fn.atsEnabled;
  }
  get pagesEnabled(): boolean {
    return this.#fn.pageRequestsEnabled;
  }

  translate(
    at: bigint,
    { pasid = -1, noWrite = false }: { pasid?: number; noWrite?: boolean } = {},
  ): Result<AtsTranslation, 'EFAULT'> {
    const { unit, requesterId } = this.#dma;
    const facts = { device: this.#fn.name, iova: hex(at) };
    if (!this.enabled || !this.#fn.busMaster) {
      return refuse(EFAULT, 'ATS or bus mastering is off: the function may not ask', facts);
    }
    if (!unit) return refuse(EFAULT, 'no IOMMU answers translation requests', facts);
    const iovaG = Number(at >> BigInt(unit.granuleLg2));
    const answer = unit.request({ requesterId, pasid, iovaG, access: 'ats', noWrite });
    if (answer.outcome === 'unsupported' || answer.outcome === 'aborted') {
      return refuse(EFAULT, 'the IOMMU refuses the translation request', {
        ...facts,
        outcome: answer.outcome,
      });
    }
    return translation(iovaG, unit.granuleLg2, answer);
  }

  requestPage(request: DevicePageRequest, respond: (code: number) => void): boolean {
    return this.#dma.requestPage(request, respond);
  }
}

function translation(iovaG: number, granuleLg2: number, answer: UnitAnswer): AtsTranslation {
  const inside = iovaG % 2 ** answer.sizeLg2;
  const lg2 = BigInt(granuleLg2);
  const translated = answer.outcome === 'translated';
  return {
    iova: BigInt(iovaG - inside) << lg2,
    address: translated ? BigInt(answer.outG - inside) << lg2 : 0n,
    length: 1n << (lg2 + BigInt(answer.sizeLg2)),
    read: translated && (answer.prot & IOMMU_READ) !== 0,
    write: translated && (answer.prot & IOMMU_WRITE) !== 0,
  };
}
