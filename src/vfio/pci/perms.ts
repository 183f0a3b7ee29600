/**
 * Which bits of configuration space a vfio user sees from a copy, and which it may write (vfio.md 2.11).
 *
 * Per bit: virtual means the copy answers, else the device; writable means a write takes effect there.
 *
 * NOT IMPLEMENTED: rules for capabilities no function of ours can have (VPD, PCI-X, AF, HT, SATA, VC, MFVC, multicast,
 * resizable BAR, DPA, TPH): their lengths vary, so they are hidden like unknown ones.
 */
import {
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAP_ID_PM,
  PCI_CAP_ID_VNDR,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_SIZE,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL2,
  PCI_EXP_DEVCTL2_ARI,
  PCI_EXP_DEVCTL_BCR_FLR,
  PCI_EXP_DEVCTL_PAYLOAD,
  PCI_EXP_DEVCTL_PHANTOM,
  PCI_EXP_DEVCTL_READRQ,
  PCI_EXT_CAP_ID_ACS,
  PCI_EXT_CAP_ID_ERR,
  PCI_EXT_CAP_ID_ARI,
  PCI_EXT_CAP_ID_ATS,
  PCI_EXT_CAP_ID_PRI,
  PCI_EXT_CAP_ID_SRIOV,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_MASKBIT,
  PCI_PM_CTRL,
  PCI_PM_CTRL_PME_ENABLE,
  PCI_PM_CTRL_PME_STATUS,
  PCI_PM_CTRL_STATE_MASK,
  PCI_PM_PMC,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
} from '../../uapi/pci-regs.ts';

export interface ConfigPerms {
  /** The copy, with its capability chain rebuilt. */
  readonly image: DataView;
  readonly virtual: DataView;
  readonly writable: DataView;
  /** Per byte: 0 header, 1 gap, else a number of its capability. Accesses never cross a change of it. */
  readonly owner: Uint8Array;
  /** Offsets of the visible standard capabilities by id. */
  readonly caps: ReadonlyMap<number, number>;
}

const GAP = 1;
const FIRST_CAP = 2;
const PCI_STD_HEADER_SIZEOF = 64;

export function buildPerms(real: Uint8Array): ConfigPerms {
  const size = real.length;
  const blank = (): DataView => new DataView(new ArrayBuffer(size));
  const image = new DataView(real.slice().buffer);
  const perms = {
    image,
    virtual: blank(),
    writable: blank(),
    owner: new Uint8Array(size).fill(GAP, PCI_STD_HEADER_SIZEOF),
    caps: new Map<number, number>(),
  };
  for (let at = PCI_STD_HEADER_SIZEOF; at < size; at++) perms.writable.setUint8(at, 0xff);
  headerPerms(perms);
  standardCaps(perms);
  if (size > PCI_CFG_SPACE_SIZE) extendedCaps(perms);
  return perms;
}

type Perms = ConfigPerms & { readonly caps: Map<number, number> };

/** [offset, bytes, virtual, writable]: the rest of the header is the device's and read-only. */
const HEADER: readonly (readonly [number, 1 | 2 | 4, number, number])[] = [
  [0x00, 4, 0xffff_ffff, 0],
  [PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE, 0xffff],
  [PCI_STATUS, 2, PCI_STATUS_CAP_LIST, 0],
  [0x0c, 2, 0, 0xffff],
  [0x0f, 1, 0, 0xff],
  [0x10, 4, 0xffff_ffff, 0xffff_ffff],
  [0x14, 4, 0xffff_ffff, 0xffff_ffff],
  [0x18, 4, 0xffff_ffff, 0xffff_ffff],
  [0x1c, 4, 0xffff_ffff, 0xffff_ffff],
  [0x20, 4, 0xffff_ffff, 0xffff_ffff],
  [0x24, 4, 0xffff_ffff, 0xffff_ffff],
  [0x30, 4, 0xffff_ffff, 0xffff_ffff],
  [PCI_CAPABILITY_LIST, 1, 0xff, 0],
  [0x3c, 1, 0xff, 0xff],
  [0x3d, 1, 0xff, 0],
];

function headerPerms(perms: Perms): void {
  for (const [at, bytes, virtual, writable] of HEADER) set(perms, at, bytes, virtual, writable);
}
function set(perms: Perms, at: number, bytes: number, virtual: number, writable: number): void {
  for (let n = 0; n < bytes; n++) {
    perms.virtual.setUint8(at + n, (virtual >>> (8 * n)) & 0xff);
    perms.writable.setUint8(at + n, (writable >>> (8 * n)) & 0xff);
  }
}

function standardCaps(perms: Perms): void {
  const { image } = perms;
  if ((image.getUint16(PCI_STATUS, true) & PCI_STATUS_CAP_LIST) === 0) return;
  let link = PCI_CAPABILITY_LIST;
  let at = image.getUint8(link) & ~3;
  let owner = FIRST_CAP;
  for (let guard = 0; at >= PCI_STD_HEADER_SIZEOF && guard < 48; guard++) {
    const id = image.getUint8(at);
    const next = image.getUint8(at + 1) & ~3;
    const length = standardLength(perms, id, at);
    if (length > 0) {
      perms.owner.fill(owner++, at, at + length);
      set(perms, at, 2, 0xffff, 0);
      for (let n = 2; n < length; n++) set(perms, at + n, 1, 0, 0);
      STANDARD_RULES[id]?.(perms, at, length);
      perms.caps.set(id, at);
      image.setUint8(link, at);
      link = at + 1;
    }
    at = next;
  }
  image.setUint8(link, 0);
  if (perms.caps.size > 0) return;
  image.setUint16(PCI_STATUS, image.getUint16(PCI_STATUS, true) & ~PCI_STATUS_CAP_LIST, true);
}

/** 0 hides the capability. */
function standardLength(perms: Perms, id: number, at: number): number {
  const { image } = perms;
  switch (id) {
    case PCI_CAP_ID_PM:
      return 8;
    case PCI_CAP_ID_MSI: {
      const flags = image.getUint16(at + 2, true);
      return 10 + (flags & PCI_MSI_FLAGS_64BIT ? 4 : 0) + (flags & PCI_MSI_FLAGS_MASKBIT ? 10 : 0);
    }
    case PCI_CAP_ID_VNDR:
      return image.getUint8(at + 2);
    case PCI_CAP_ID_EXP: {
      const flags = image.getUint16(at + 2, true);
      const integrated = ((flags >> 4) & 0xf) === 9;
      if ((flags & 0xf) === 1) return integrated ? 12 : 20;
      return integrated ? 44 : 52;
    }
    case PCI_CAP_ID_MSIX:
      return 12;
    default:
      return 0;
  }
}

const STANDARD_RULES: Readonly<Record<number, (perms: Perms, at: number, length: number) => void>> =
  {
    [PCI_CAP_ID_PM](perms, at) {
      const pme = PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS;
      const { image } = perms;
      set(perms, at + PCI_PM_PMC, 2, 0xf800, 0);
      image.setUint16(at + PCI_PM_PMC, image.getUint16(at + PCI_PM_PMC, true) & 0x07ff, true);
      set(perms, at + PCI_PM_CTRL, 2, pme, 0xffff & ~pme & ~PCI_PM_CTRL_STATE_MASK);
      image.setUint16(at + PCI_PM_CTRL, image.getUint16(at + PCI_PM_CTRL, true) & ~pme, true);
    },
    [PCI_CAP_ID_MSI](perms, at, length) {
      const wide = perms.image.getUint16(at + 2, true) & PCI_MSI_FLAGS_64BIT;
      const mask = at + (wide ? 16 : 12);
      set(perms, at + 2, 1, 0xff, 0xff);
      for (let n = at + 4; n < at + length; n++) {
        if (n >= mask) set(perms, n, 1, 0, 0xff);
        else set(perms, n, 1, 0xff, 0xff);
      }
    },
    [PCI_CAP_ID_VNDR](perms, at, length) {
      for (let n = 2; n < length; n++) set(perms, at + n, 1, 0, 0xff);
    },
    [PCI_CAP_ID_EXP](perms, at, length) {
      const virtual = PCI_EXP_DEVCTL_BCR_FLR | PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ;
      set(perms, at + PCI_EXP_DEVCTL, 2, virtual, 0xffff & ~PCI_EXP_DEVCTL_PHANTOM);
      if (length < PCI_EXP_DEVCTL2 + 2) return;
      set(perms, at + PCI_EXP_DEVCTL2, 2, 0, 0xffff & ~PCI_EXP_DEVCTL2_ARI);
    },
  };

/** Lengths of the extended capabilities a user may see; any other id is unlinked. */
const EXTENDED_LENGTH: Readonly<Record<number, number>> = {
  [PCI_EXT_CAP_ID_ERR]: 0x2c,
  0x03: 12, //                       device serial number
  0x04: 16, //                       power budgeting
  [PCI_EXT_CAP_ID_ACS]: 8,
  [PCI_EXT_CAP_ID_ARI]: 8,
  [PCI_EXT_CAP_ID_ATS]: 8,
  [PCI_EXT_CAP_ID_SRIOV]: 64,
  [PCI_EXT_CAP_ID_PRI]: 16,
  0x18: 8, //                        latency tolerance
};

function extendedCaps(perms: Perms): void {
  const { image } = perms;
  let at = PCI_CFG_SPACE_SIZE;
  let link = 0;
  let visible = 0;
  for (let owner = 128; at >= PCI_CFG_SPACE_SIZE && owner < 256; owner++) {
    const header = image.getUint32(at, true);
    if (header === 0) break;
    const length = EXTENDED_LENGTH[header & 0xffff];
    // A hidden first capability stays as an empty one, for the chain begins at it.
    if (length !== undefined || at === PCI_CFG_SPACE_SIZE) {
      showExtended(perms, at, length, owner);
      if (length !== undefined) visible++;
      if (link) relink(image, link, at);
      link = at;
    }
    at = header >>> 20;
  }
  if (link) relink(image, link, 0);
  if (visible === 0) image.setUint32(PCI_CFG_SPACE_SIZE, 0, true);
}
function showExtended(perms: Perms, at: number, length: number | undefined, owner: number): void {
  const { image } = perms;
  const header = image.getUint32(at, true);
  perms.owner.fill(owner, at, at + (length ?? 4));
  set(perms, at, 4, 0xffff_ffff, 0);
  if (length === undefined) {
    image.setUint32(at, (header & 0xfff0_0000) >>> 0, true);
    return;
  }
  for (let n = 4; n < length; n++) set(perms, at + n, 1, 0, 0);
  extendedRule(perms, header & 0xffff, at);
}
function relink(image: DataView, from: number, to: number): void {
  image.setUint32(from, ((image.getUint32(from, true) & 0x000f_ffff) | (to << 20)) >>> 0, true);
}
function extendedRule(perms: Perms, id: number, at: number): void {
  if (id === 0x04) set(perms, at + 4, 1, 0, 0xff); // power budgeting: data select
  if (id !== PCI_EXT_CAP_ID_ERR) return;
  for (const register of [4, 8, 12, 16, 20]) set(perms, at + register, 4, 0, 0xffff_ffff);
  set(perms, at + 0x18, 4, 0, 0x0000_0140); //        ECRC generation and check enable
}
