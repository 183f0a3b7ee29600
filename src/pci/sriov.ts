/**
 * The SR-IOV capability of a physical function: how many virtual functions it shows, where they stand, where their BARs
 * are (vfio.md 2.12; PCIe 9.3.3).
 */
import {
  PCI_EXT_CAP_ID_SRIOV,
  PCI_EXT_CAP_SRIOV_SIZEOF,
  PCI_SRIOV_BAR,
  PCI_SRIOV_CTRL,
  PCI_SRIOV_CTRL_MSE,
  PCI_SRIOV_CTRL_VFE,
  PCI_SRIOV_NUM_VF,
} from '../uapi/pci-regs.ts';
import { BarRegister } from './bar.ts';
import type { ConfigSpace } from './config-space.ts';
import type { SriovSpec } from './identity.ts';

/** The capability as it stands now. */
export class Sriov {
  readonly spec: SriovSpec;
  /** Where the BARs of all virtual functions lie, by BAR index. */
  readonly bars: ReadonlyMap<number, BarRegister>;
  readonly #config: ConfigSpace;
  readonly #at: number;

  constructor(spec: SriovSpec, config: ConfigSpace) {
    this.spec = spec;
    this.#config = config;
    this.#at = config.extendedCapability(PCI_EXT_CAP_ID_SRIOV);
    this.bars = new Map(
      spec.bars.map(({ index, kind }) => [
        index,
        new BarRegister(config, this.#at + PCI_SRIOV_BAR + 4 * index, kind),
      ]),
    );
  }
  /** Offset of the capability. */
  get at(): number {
    return this.#at;
  }
  /** The capability as it lies in configuration space. */
  get bytes(): Uint8Array {
    return this.#config.bytes.subarray(this.#at, this.#at + PCI_EXT_CAP_SRIOV_SIZEOF);
  }
  /** NumVFs, which stands still while VF Enable is set. */
  get numVfs(): number {
    return this.#config.read(this.#at + PCI_SRIOV_NUM_VF, 2);
  }
  /** Virtual functions that are there now. */
  get present(): number {
    return this.#has(PCI_SRIOV_CTRL_VFE) ? Math.min(this.numVfs, this.spec.totalVfs) : 0;
  }
  /** VF MSE: their memory answers. */
  get memoryEnabled(): boolean {
    return this.#has(PCI_SRIOV_CTRL_MSE);
  }
  /** Distance of the requester id of a virtual function from that of its physical one. */
  offsetOf(index: number): number {
    return this.spec.firstOffset + index * this.spec.stride;
  }
  /** A write to configuration space that cannot change NumVFs while virtual functions are there. */
  guarded(write: () => void): void {
    const before = this.#has(PCI_SRIOV_CTRL_VFE) ? this.numVfs : undefined;
    write();
    if (before !== undefined) this.#config.force(this.#at + PCI_SRIOV_NUM_VF, 2, before);
  }

  #has(bit: number): boolean {
    return (this.#config.read(this.#at + PCI_SRIOV_CTRL, 2) & bit) !== 0;
  }
}
