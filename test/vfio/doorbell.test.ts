/** Interrupt messages behind an IOMMU that translates them: where the doorbell is mapped (iommufd.md 4.6). */
import { expect, test } from 'vitest';
import { EOPNOTSUPP, isErrno } from '../../src/base/errno.ts';
import { EDU_REG } from '../../src/devices/edu/edu.ts';
import type { MachineInput } from '../../src/machine/description/description.ts';
import * as i from '../../src/uapi/iommufd.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import * as v from '../../src/uapi/vfio.ts';
import { CdevClient } from '../../src/testing/machine/cdev-client.ts';
import { machineOf } from '../../src/testing/machine/client.ts';
import { must } from '../../src/testing/base/must.ts';

const EVENTFD_TRIGGER = v.VFIO_IRQ_SET_DATA_EVENTFD | v.VFIO_IRQ_SET_ACTION_TRIGGER;
const NONE_TRIGGER = v.VFIO_IRQ_SET_DATA_NONE | v.VFIO_IRQ_SET_ACTION_TRIGGER;
const MSI = 1;
/** Where the driver leaves room for doorbells, and where the doorbell really is. */
const WINDOW = 0x800_0000n;
const DOORBELL = 0xfee0_0000n;
const CONFIG = 7n << 40n;
const MSI_DATA = 0x40;

const TRANSLATED: MachineInput = {
  iommus: [{ type: 'mock', messages: 'translated' }],
  devices: [
    { type: 'edu', at: '0000:00:04.0' },
    { type: 'edu', at: '0000:00:05.0' },
  ],
};

function word(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

class Edu {
  readonly client: CdevClient;
  readonly d: number;
  readonly eventfd: number;
  readonly #name: string;

  constructor(client: CdevClient, index: number) {
    this.client = client;
    this.d = client.cdev(index);
    this.eventfd = client.eventfd();
    this.#name = `0000:00:0${String(4 + index)}.0`;
  }
  bind(iommufd: number): this {
    expect(this.client.bind(this.d, iommufd).rc).toBe(0);
    must(this.client.pwrite(this.d, CONFIG + 4n, Uint8Array.of(6, 0)));
    return this;
  }
  attach(ptId: number): number {
    const { rc, out } = this.client.attach(this.d, ptId);
    expect(rc).toBe(0);
    return out.pt_id;
  }
  enable() {
    return this.client.setIrqs(this.d, { flags: EVENTFD_TRIGGER, index: MSI }, [this.eventfd]);
  }
  disable(): void {
    expect(this.client.setIrqs(this.d, { flags: NONE_TRIGGER, index: MSI })).toBe(0);
  }
  /** Interrupts that arrive when the device raises one. */
  ring(): number {
    must(this.client.pwrite(this.d, BigInt(EDU_REG.irqRaise), word(1)));
    must(this.client.pwrite(this.d, BigInt(EDU_REG.irqAck), word(1)));
    return Number(this.client.counter(this.eventfd));
  }
  /** What the hardware was programmed with. */
  get address(): number {
    const { fn } = this.client.machine.pci.device(this.#name)!;
    return fn.config.read(fn.config.capability(5) + 4, 4);
  }
  /** Its id as a DEVICE. */
  get devid(): number {
    const { pci, vfio } = this.client.machine;
    return vfio.deviceOf(pci.device(this.#name)!.dev)!.iommufd!.bound.devid;
  }
  /** What an address of the device is translated to; undefined where it is blocked. */
  resolve(iova: bigint): bigint | undefined {
    const { dma: port } = this.client.machine.pci.device(this.#name)!.slot;
    return port.unit!.explain(port.requesterId, -1, iova, true).pa;
  }
}

function rig() {
  const client = new CdevClient(machineOf(TRANSLATED));
  const iommufd = client.iommufd();
  const edus = [new Edu(client, 0), new Edu(client, 1)] as const;
  return { client, iommufd, edus };
}

test('the doorbell is mapped when interrupts are set up, and messages go through the tables', () => {
  const { client, iommufd, edus } = rig();
  const edu = edus[0].bind(iommufd);
  edu.attach(client.ioas(iommufd));
  expect(edu.resolve(WINDOW)).toBeUndefined();
  expect(edu.enable()).toBe(0);
  expect(edu.address).toBe(Number(WINDOW));
  expect(edu.resolve(WINDOW)).toBe(DOORBELL);
  expect(edu.ring()).toBe(1);
  edu.disable();
  expect(edu.enable()).toBe(0);
  expect(edu.address).toBe(Number(WINDOW));
  client.machine.close();
});

test('before an attach there is no place for the doorbell', () => {
  const { client, iommufd, edus } = rig();
  const edu = edus[0].bind(iommufd);
  expect(edu.enable()).toBe(EOPNOTSUPP);
  edu.attach(client.ioas(iommufd));
  expect(edu.enable()).toBe(0);
  client.machine.close();
});

test('an hwpt the device goes over to has the doorbell at the same address; detached, interrupts are lost', () => {
  const { client, iommufd, edus } = rig();
  const edu = edus[0].bind(iommufd);
  const first = edu.attach(client.ioas(iommufd));
  expect(edu.enable()).toBe(0);
  const second = edu.attach(client.ioas(iommufd));
  expect(second).not.toBe(first);
  expect(edu.resolve(WINDOW)).toBe(DOORBELL);
  expect(edu.ring()).toBe(1);
  expect(client.detach(edu.d)).toBe(0);
  expect(edu.ring()).toBe(0);
  edu.attach(client.ioas(iommufd));
  expect(edu.ring()).toBe(1);
  client.machine.close();
});

test('another hwpt of the same IOAS gets the doorbell too', () => {
  const { client, iommufd, edus } = rig();
  const edu = edus[0].bind(iommufd);
  const ioas = client.ioas(iommufd);
  edu.attach(ioas);
  expect(edu.enable()).toBe(0);
  const dev_id = edu.devid;
  const made = client.call(iommufd, i.IOMMU_HWPT_ALLOC, i.iommu_hwpt_alloc, {
    size: i.iommu_hwpt_alloc.size,
    dev_id,
    pt_id: ioas,
  });
  expect(made.rc).toBe(0);
  edu.attach(made.out.out_hwpt_id);
  expect(edu.ring()).toBe(1);
  client.machine.close();
});

test('the doorbell of a device on a nested hwpt stands in its parent', () => {
  const { client, iommufd, edus } = rig();
  const edu = edus[0].bind(iommufd);
  const alloc = (values: Record<string, number | bigint>) => {
    const size = i.iommu_hwpt_alloc.size;
    const dev_id = edu.devid;
    const made = client.call(iommufd, i.IOMMU_HWPT_ALLOC, i.iommu_hwpt_alloc, {
      ...{ size, dev_id },
      ...values,
    });
    expect(made.rc).toBe(0);
    return made.out.out_hwpt_id;
  };
  const parent = alloc({ pt_id: client.ioas(iommufd), flags: i.IOMMU_HWPT_ALLOC_NEST_PARENT });
  const data_uptr = client.memory(0x1000);
  const data = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr };
  edu.attach(alloc({ pt_id: parent, ...data }));
  expect(edu.enable()).toBe(0);
  expect([edu.address, edu.ring()]).toEqual([Number(WINDOW), 1]);
  edu.attach(parent);
  expect(edu.ring()).toBe(1);
  client.machine.close();
});

test('everything is given back at the end', () => {
  const { client, iommufd, edus } = rig();
  const { core } = client.machine;
  const used = core.ram.used;
  for (const edu of edus) {
    edu.bind(iommufd).attach(client.ioas(iommufd));
    expect(edu.enable()).toBe(0);
  }
  for (const edu of edus) client.program.close(edu.d);
  client.program.close(iommufd);
  expect(core.ram.used).toBe(used);
  client.machine.close();
});

test('a second group in the same hwpt shares the mapping, in an hwpt of its own it has the same address', () => {
  const { client, iommufd, edus } = rig();
  const [a, b] = [edus[0].bind(iommufd), edus[1].bind(iommufd)];
  const ioas = client.ioas(iommufd);
  expect(a.attach(ioas)).toBe(b.attach(ioas));
  expect([a.enable(), b.enable()]).toEqual([0, 0]);
  expect([a.address, b.address]).toEqual([Number(WINDOW), Number(WINDOW)]);
  expect([a.ring(), b.ring()]).toEqual([1, 1]);
  b.attach(client.ioas(iommufd));
  expect([a.ring(), b.ring()]).toEqual([1, 1]);
  client.program.close(a.d);
  expect(b.ring()).toBe(1);
  client.machine.close();
});

test('the window is kept free of mappings', () => {
  const { client, iommufd, edus } = rig();
  const ioas_id = client.ioas(iommufd);
  edus[0].bind(iommufd).attach(ioas_id);
  const map = client.call(iommufd, i.IOMMU_IOAS_MAP, i.iommu_ioas_map, {
    size: i.iommu_ioas_map.size,
    flags: 7,
    ioas_id,
    user_va: client.memory(0x1000),
    length: 0x1000n,
    iova: WINDOW,
  });
  expect(isErrno(map.rc) && map.rc.name).toBe('EINVAL');
  client.machine.close();
});

test('a write of the device itself to the mapped doorbell is a message, elsewhere it is data', () => {
  const { client, iommufd, edus } = rig();
  const edu = edus[0].bind(iommufd);
  edu.attach(client.ioas(iommufd));
  expect(edu.enable()).toBe(0);
  const { dma: port } = client.machine.pci.device('0000:00:04.0')!.slot;
  expect(port.write(WINDOW, word(MSI_DATA))).toBeUndefined();
  expect(client.counter(edu.eventfd)).toBe(1n);
  expect(isErrno(port.write(DOORBELL, word(MSI_DATA)))).toBe(true);
  expect(client.counter(edu.eventfd)).toBe(0n);
  client.machine.close();
});

test('a container of type 1 maps the doorbell too', () => {
  const { client, edus } = rig();
  client.program.close(edus[0].d);
  const { d } = client.device(v.VFIO_TYPE1v2_IOMMU, '0000:00:04.0');
  const eventfd = client.eventfd();
  expect(client.setIrqs(d, { flags: EVENTFD_TRIGGER, index: MSI }, [eventfd])).toBe(0);
  must(client.pwrite(d, CONFIG + 4n, Uint8Array.of(6, 0)));
  must(client.pwrite(d, BigInt(EDU_REG.irqRaise), word(1)));
  expect(client.counter(eventfd)).toBe(1n);
  client.machine.close();
});
