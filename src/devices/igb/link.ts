/** The link of the 82576 (devices.md 1.4, 1.8): up while both ends of the wire are alive, forced, or looped back. */
import type { Wire } from '../host-services.ts';
import type { Cells } from './cells.ts';
import type { Phy } from './phy.ts';
import { CTRL, RCTL } from './registers.ts';

const FORCED = CTRL.FRCSPD | CTRL.FRCDPX;
const STATUS = { FD: 1 << 0, LU: 1 << 1, GIGABIT: 2 << 6, DONE: 1 << 9, MASTER: 1 << 19 } as const;

/** What the link is made of. */
export interface LinkParts {
  readonly cells: Cells;
  readonly phy: Phy;
  readonly wire: Wire;
  /** Up has become down, or down up. */
  readonly changed: () => void;
}

export class Link {
  readonly #parts: LinkParts;
  #up = false;

  constructor(parts: LinkParts) {
    this.#parts = parts;
  }
  get isUp(): boolean {
    return this.#up;
  }
  /** Frames that are sent come back at once: from the MAC, or from the PHY. */
  get loopsBack(): boolean {
    const { cells, phy } = this.#parts;
    return phy.loopback || (cells.get('rctl') & RCTL.LOOPBACK) === RCTL.LOOPBACK_MAC;
  }
  /** Look again at everything that decides. */
  update(): void {
    const up = this.#isUpNow();
    if (up === this.#up) return;
    this.#up = up;
    this.#parts.changed();
  }
  /** At power-on nobody is told. */
  begin(up?: boolean): void {
    const now = this.#isUpNow();
    this.#up = up ?? now;
  }
  /** Bits of STATUS that are the link's, and the master's. */
  get status(): number {
    const ctrl = this.#parts.cells.get('ctrl');
    const duplex = (ctrl & CTRL.FRCDPX) !== 0 ? ctrl & CTRL.FD : STATUS.FD;
    const speed = (ctrl & CTRL.FRCSPD) !== 0 ? (ctrl & CTRL.SPEED) >>> 2 : STATUS.GIGABIT;
    const master = (ctrl & CTRL.MASTER_DISABLE) === 0 ? STATUS.MASTER : 0;
    return duplex | speed | master | STATUS.DONE | (this.#up ? STATUS.LU : 0);
  }

  #isUpNow(): boolean {
    const { cells, phy, wire } = this.#parts;
    const ctrl = cells.get('ctrl');
    const alive = phy.isOn && (ctrl & CTRL.PHY_RST) === 0;
    wire.power(alive);
    const forced = (ctrl & FORCED) === FORCED && (ctrl & CTRL.SLU) !== 0;
    return this.loopsBack || forced || (alive && wire.carrier);
  }
}
