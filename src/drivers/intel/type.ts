/** `type: intel` of a machine description: VT-d units with the intel driver. */
import { isErrno } from '../../base/errno.ts';
import {
  withDefaults,
  type OptionsOf,
  type OptionTable,
  type OptionValues,
} from '../../base/options.ts';
import { deviceRegister } from '../../core/probe/register.ts';
import type { IommuType } from '../iommu-type.ts';
import { read64 } from '../unit/register-port.ts';
import { createIntelDriver, type IntelUnitConfig, type IntelUnitHandle } from './driver/driver.ts';
import { resolveHardware } from './hardware.ts';
import { REG_CAP, REG_ECAP } from './registers.ts';
import { seenIntelOptions } from './seen-options.ts';

const OPTIONS = {
  scalable: { kind: 'boolean', default: true, help: 'scalable mode (PASID tables), not legacy' },
  width: {
    kind: 'choice',
    values: [39, 48, 57],
    default: 48,
    help: 'widest address a device may use, in bits',
  },
  superpage2m: { kind: 'boolean', default: true, help: 'second-stage pages of 2 MiB' },
  superpage1g: { kind: 'boolean', default: true, help: 'second-stage pages of 1 GiB' },
  snoopControl: { kind: 'boolean', default: true, help: 'can force coherent accesses' },
  coherentWalks: { kind: 'boolean', default: true, help: 'page walks snoop the caches' },
  ssade: { kind: 'boolean', help: 'second-stage dirty tracking; default: in scalable mode' },
  ats: { kind: 'boolean', default: true, help: 'device TLBs' },
  pageRequests: {
    kind: 'boolean',
    default: false,
    help: 'devices may ask for pages; needs ats and PASIDs',
  },
  passThrough: { kind: 'boolean', default: true, help: 'can pass addresses untranslated' },
  pasidBits: {
    kind: 'integer',
    min: 0,
    max: 20,
    help: 'width of a PASID, 0 for none; default 20, in legacy mode 0',
  },
  domainIdBits: {
    kind: 'choice',
    values: [4, 6, 8, 10, 12, 14, 16],
    default: 16,
    help: '2^n domain ids',
  },
  firstStage: { kind: 'boolean', help: 'first-stage tables; default: in scalable mode' },
  firstStage5: { kind: 'boolean', default: false, help: 'first stage of five levels' },
  firstStage1g: { kind: 'boolean', help: 'first-stage pages of 1 GiB; default: with first stage' },
  secondStage: { kind: 'boolean', default: true, help: 'second stage in scalable mode' },
  nested: { kind: 'boolean', help: 'nested translation; default: with both stages' },
  faultRecords: { kind: 'integer', min: 1, max: 256, default: 8, help: 'fault records' },
} as const satisfies OptionTable;
type Options = OptionsOf<typeof OPTIONS>;

export const intelType: IommuType = {
  type: 'intel',
  summary: 'Intel VT-d, driven as by the intel driver of Linux',
  prefix: 'dmar',
  options: OPTIONS,
  seen: { attributes: ['intel-iommu/cap', 'intel-iommu/ecap'], options: seenOptions },
  createDriver({ core, memory, grouping }) {
    const driver = createIntelDriver(core, grouping);
    return {
      create({ name, fwnode, covers, enableBits, directRegions }, options: Options) {
        const handle = driver.addUnit({
          ...unitConfig(options),
          name,
          memory,
          scope: covers,
          enableBits,
          rmrrs: directRegions,
        });
        if (isErrno(handle)) return handle;
        const { instance, ops, unit } = handle;
        const rc = deviceRegister(core, instance, ops, { fwnode });
        const attributes = attributesOf(handle);
        return rc ?? { instance, unit, heeds: unit.ats, summary: summaryOf(handle), attributes };
      },
    };
  },
};

/** Those without which the unit would be another one. */
function seenOptions([cap = '', ecap = '']: readonly string[]): OptionValues | undefined {
  const seen = seenIntelOptions(cap, ecap);
  if (!seen) return undefined;
  const unit = hardwareText({ ...seen });
  let needed: OptionValues = { ...seen };
  for (const option of Object.keys(OPTIONS)) {
    const others = Object.fromEntries(Object.entries(needed).filter(([name]) => name !== option));
    if (hardwareText(others) === unit) needed = others;
  }
  return needed;
}
/** Equal for equal units. */
function hardwareText(given: OptionValues): string {
  const options = withDefaults(OPTIONS, given) as Options; // cast: of this table
  return JSON.stringify(resolveHardware(unitConfig(options)));
}

const WIDTHS = [39, 48, 57] as const;

/** One width stands for every table the unit can walk. */
function unitConfig({ width, ...rest }: Options): IntelUnitConfig {
  return { ...rest, widths: WIDTHS.filter((w) => w <= width), mgaw: width };
}

function summaryOf({ instance }: IntelUnitHandle): string {
  const { hw } = instance;
  const mode = hw.scalable ? 'scalable mode' : 'legacy mode';
  const features = [
    hw.snoopControl && 'snoop control',
    hw.ats && 'ATS',
    hw.pasidBits > 0 && `${hw.pasidBits}-bit PASIDs`,
    hw.nested && 'nested',
    hw.ssade && 'dirty tracking',
  ].filter(Boolean);
  return `Intel VT-d, ${mode}, ${hw.mgaw}-bit addresses, ${features.join(', ')}`;
}

/** Where the platform has the registers. */
const REGISTER_BASE = 0xfed9_0000n;

/** @kernel intel_iommu_groups */
function attributesOf({ registers, instance }: IntelUnitHandle) {
  const hex = (value: bigint): string => `${value.toString(16)}\n`;
  return {
    'intel-iommu': {
      address: () => hex(REGISTER_BASE),
      cap: () => hex(read64(registers, REG_CAP)),
      ecap: () => hex(read64(registers, REG_ECAP)),
      version: () => '1:0\n',
      domains_supported: () => `${2 ** instance.hw.domainIdBits}\n`,
      domains_used: () => `${instance.domainIds.size}\n`,
    },
  };
}
