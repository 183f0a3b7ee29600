/**
 * Machines by name (`preset:NAME`): small descriptions that each show one thing. Data only, so the browser has them too.
 */
import type { MachineInput } from './description.ts';

/** A machine with a name. */
export interface Preset {
  readonly summary: string;
  readonly machine: MachineInput;
}

const EDU = { type: 'edu', at: '0000:00:04.0' } as const;

/** Ids of network cards, for what stands for one. */
const nic = (device: number) => ({ vendor: 0x8086, device, class: 0x020000 });
const IGB = nic(0x10c9);
const IGB_VF = nic(0x10ca);
const E1000E = nic(0x10d3);
const GPU = { vendor: 0x10de, device: 0x2204, class: 0x030000 };
const GPU_SOUND = { vendor: 0x10de, device: 0x1aef, class: 0x040300 };
const GRAPHICS = { vendor: 0x8086, device: 0x9a49, class: 0x030000 };
const XHCI = { vendor: 0x8086, device: 0xa0ed, class: 0x0c0330 };
const WIRELESS = { vendor: 0x8086, device: 0x2725, class: 0x028000 };

/** A port of the root complex and what is plugged into it. */
const port = (at: string, ...devices: NonNullable<MachineInput['devices']>) => ({
  type: 'root-port',
  at,
  devices,
});
const NVME_TWO = { namespaces: 2, size_mib: 256 };

/** The presets by name. */
export const PRESETS: Readonly<Record<string, Preset>> = {
  default: {
    summary: 'one Intel IOMMU, an edu at 0000:00:04.0 bound to vfio-pci, alone in its group',
    machine: { devices: [EDU] },
  },
  'direct-mapped': {
    summary: 'firmware wants memory of the edu mapped one to one (RMRR): no user may own it',
    machine: {
      devices: [{ ...EDU, directRegions: [{ start: '0x7b000000', last: '0x7b7fffff' }] }],
    },
  },
  laptop: {
    summary: 'one unit of 39 bits; firmware keeps memory of the graphics and of the USB controller',
    machine: {
      iommus: [{ type: 'intel', width: 39, snoopControl: false, scalable: false }],
      devices: [
        {
          type: 'generic',
          at: '0000:00:02.0',
          driver: 'none',
          options: GRAPHICS,
          directRegions: [{ start: '0x7d000000', last: '0x7f7fffff' }],
        },
        {
          type: 'generic',
          at: '0000:00:14.0',
          driver: 'xhci_hcd',
          options: XHCI,
          directRegions: [{ start: '0x7aef0000', last: '0x7af0ffff' }],
        },
        port('0000:00:1c.0', { type: 'generic', at: '0000:01:00.0', options: WIRELESS }),
        port('0000:00:1d.0', { type: 'nvme', at: '0000:02:00.0' }),
      ],
    },
  },
  mock: {
    summary: "the kernel's mock IOMMU in place of real hardware, and the iommufd selftest commands",
    machine: {
      kernel: { with: ['test-dev', 'aux-domains', 'iommufd-selftest'] },
      iommus: [{ type: 'mock' }],
      devices: [EDU],
    },
  },
  multifunction: {
    summary: 'a two-function endpoint without ACS: both functions are one group',
    machine: {
      devices: [
        {
          type: 'root-port',
          at: '0000:00:01.0',
          devices: [
            { type: 'edu', at: '0000:01:00.0', options: { pcie: true }, acs: false },
            { type: 'edu', at: '0000:01:00.1', options: { pcie: true }, acs: false },
          ],
        },
      ],
    },
  },
  'narrow-39-bit': {
    summary: 'an IOMMU that translates 39-bit addresses only',
    machine: { iommus: [{ type: 'intel', width: 39 }], devices: [EDU] },
  },
  noiommu: {
    summary: 'no IOMMU and enable_unsafe_noiommu_mode=Y: addresses on the bus are physical',
    machine: {
      kernel: { with: ['test-dev', 'aux-domains', 'unsafe-noiommu-mode'] },
      iommus: [],
      devices: [{ ...EDU, options: { dma_mask_bits: 52 } }],
    },
  },
  'not-viable': {
    summary: 'the edu shares its group with a function that a kernel driver holds',
    machine: {
      devices: [
        {
          type: 'root-port',
          at: '0000:00:01.0',
          devices: [
            { type: 'edu', at: '0000:01:00.0', options: { pcie: true }, acs: false },
            {
              type: 'generic',
              at: '0000:01:00.1',
              driver: 'e1000e',
              options: E1000E,
              acs: false,
            },
          ],
        },
      ],
    },
  },
  'pcie-to-pci-bridge': {
    summary: 'two conventional functions behind a PCIe-to-PCI bridge: one requester id, one group',
    machine: {
      // In scalable mode the driver sets up no table for the id a bridge takes over.
      iommus: [{ type: 'intel', scalable: false }],
      devices: [
        {
          type: 'root-port',
          at: '0000:00:01.0',
          devices: [
            {
              type: 'pcie-to-pci-bridge',
              at: '0000:01:00.0',
              driver: 'none',
              devices: [
                { type: 'edu', at: '0000:02:04.0' },
                { type: 'edu', at: '0000:02:05.0' },
              ],
            },
          ],
        },
      ],
    },
  },
  server: {
    summary: 'two sockets, each with an Intel unit, a NIC and a DMA engine, on buses of its own',
    machine: {
      iommus: [
        { type: 'intel', name: 'dmar0' },
        { type: 'intel', name: 'dmar1' },
      ],
      devices: [
        port('0000:00:01.0', {
          type: 'igb',
          at: '0000:01:00.0',
          options: { wire: '0000:81:00.0' },
        }),
        { type: 'ioat', at: '0000:00:04.0' },
        {
          ...port('0000:80:01.0', {
            type: 'igb',
            at: '0000:81:00.0',
            iommu: 'dmar1',
            options: { mac: '02:00:00:00:00:02' },
          }),
          iommu: 'dmar1',
        },
        { type: 'ioat', at: '0000:80:04.0', iommu: 'dmar1' },
      ],
    },
  },
  sriov: {
    summary: 'a physical function with two virtual functions, each in a group of its own',
    machine: {
      devices: [
        {
          type: 'root-port',
          at: '0000:00:01.0',
          devices: [
            { type: 'generic', at: '0000:01:00.0', driver: 'igb', options: IGB },
            { type: 'generic', at: '0000:01:10.0', options: IGB_VF, vfOf: '0000:01:00.0' },
            { type: 'generic', at: '0000:01:10.1', options: IGB_VF, vfOf: '0000:01:00.0' },
          ],
        },
      ],
    },
  },
  'sriov-nic': {
    summary:
      'an igb with room for seven virtual functions (SR-IOV), its physical function for a user',
    machine: {
      devices: [
        port('0000:00:01.0', {
          type: 'igb',
          at: '0000:01:00.0',
          options: { vfs: 7 },
        }),
      ],
    },
  },
  storage: {
    summary: 'four NVMe controllers below a switch that isolates, with two namespaces each',
    machine: {
      devices: [
        port('0000:00:01.0', {
          type: 'upstream-port',
          at: '0000:01:00.0',
          devices: ['0', '1', '2', '3'].map((n) => ({
            type: 'downstream-port',
            at: `0000:02:0${n}.0`,
            devices: [
              {
                type: 'nvme',
                at: `0000:0${Number(n) + 3}:00.0`,
                options: { ...NVME_TWO, serial: `DISK${n}` },
              },
            ],
          })),
        }),
      ],
    },
  },
  'switch-without-acs': {
    summary:
      'a switch below ports that do not isolate: everything down to the root port is one group',
    machine: {
      devices: [
        {
          type: 'root-port',
          at: '0000:00:01.0',
          acs: false,
          devices: [
            {
              type: 'upstream-port',
              at: '0000:01:00.0',
              devices: [
                {
                  type: 'downstream-port',
                  at: '0000:02:00.0',
                  acs: false,
                  devices: [{ type: 'edu', at: '0000:03:00.0', options: { pcie: true } }],
                },
                {
                  type: 'downstream-port',
                  at: '0000:02:01.0',
                  acs: false,
                  devices: [{ type: 'edu', at: '0000:04:00.0', options: { pcie: true } }],
                },
              ],
            },
          ],
        },
      ],
    },
  },
  'two-drivers': {
    summary: 'two IOMMU drivers at once: an edu behind an Intel unit, another behind the mock',
    machine: {
      iommus: [{ type: 'intel' }, { type: 'mock' }],
      devices: [EDU, { type: 'edu', at: '0000:00:05.0', iommu: 'mock0' }],
    },
  },
  'two-iommus': {
    summary: 'two Intel units that differ: 48 bits with snoop control, 39 bits without',
    machine: {
      iommus: [
        { type: 'intel', scalable: false },
        { type: 'intel', scalable: false, width: 39, snoopControl: false },
      ],
      devices: [EDU, { type: 'edu', at: '0000:00:05.0', iommu: 'dmar1' }],
    },
  },
  workstation: {
    summary:
      'a graphics card for a guest with its sound beside it, an NVMe, and a NIC the kernel keeps',
    machine: {
      devices: [
        port(
          '0000:00:01.0',
          { type: 'generic', at: '0000:01:00.0', acs: false, options: GPU },
          { type: 'generic', at: '0000:01:00.1', acs: false, options: GPU_SOUND },
        ),
        port('0000:00:1b.0', { type: 'nvme', at: '0000:02:00.0' }),
        port('0000:00:1c.0', { type: 'igb', at: '0000:03:00.0', driver: 'igb' }),
      ],
    },
  },
};
