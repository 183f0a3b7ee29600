/** The suite finds what it is there to find: models that are wrong in one way each. */
import { expect, test } from 'vitest';
import type { BarSpec, DeviceModel, DevicePort, DeviceType } from '../../devices/port.ts';
import { deviceCases } from './device-suite.ts';
import type { DeviceWorkload } from './suite-rig.ts';

/** Copies 64 bytes from where its register says to 0x2000, a microsecond later, and says so. */
class Copier implements DeviceModel {
  protected from = 0n;
  protected timer: Disposable | undefined;
  protected dueNs = 0;
  readonly port: DevicePort;
  constructor(port: DevicePort) {
    this.port = port;
  }
  powerOn(): void {
    this.from = 0n;
    this.cancel();
  }
  reset(): void {
    this.powerOn();
  }
  cancel(): void {
    this.timer?.[Symbol.dispose]();
    this.timer = undefined;
  }
  mmioRead(_bar: number, offset: number, width: number): bigint {
    return offset === 0 ? BigInt.asUintN(8 * width, this.from) : 0n;
  }
  mmioWrite(_bar: number, offset: number, _width: number, value: bigint): void {
    if (offset !== 0) return;
    this.from = value;
    this.start(1000);
  }
  start(leftNs: number): void {
    this.cancel();
    this.dueNs = this.port.clock.nowNs + leftNs;
    this.timer = this.port.clock.after(leftNs, () => {
      this.timer = undefined;
      this.move();
    });
  }
  move(): void {
    const bytes = new Uint8Array(64);
    if (this.port.dma.read(this.from, bytes)) return;
    if (!this.port.dma.write(0x2000n, bytes)) this.port.irq.message(0);
  }
  state(): { from: bigint; leftNs: number | undefined } {
    return { from: this.from, leftNs: this.timer && this.dueNs - this.port.clock.nowNs };
  }
  restore(state: { from: bigint; leftNs: number | undefined }): void {
    this.from = state.from;
    this.cancel();
    if (state.leftNs !== undefined) this.start(state.leftNs);
  }
}
const workload: DeviceWorkload = {
  reach: [
    [0x1000, 0x1040],
    [0x2000, 0x2040],
  ],
  steps: [
    ({ device, port }) => {
      port.memory.fill(7, 0x1000, 0x1040);
      device.mmioWrite(0, 0, 8, 0x1000n);
    },
  ],
  check({ port }) {
    expect([port.memory[0x203f], port.messages]).toEqual([7, [0]]);
  },
};
/** Names of the cases that fail. */
function failing(
  Model: new (port: DevicePort) => DeviceModel,
  work = workload,
  shadow?: NonNullable<BarSpec['shadow']>,
): string[] {
  const type: DeviceType = {
    type: 'copier',
    summary: 'for the suite',
    options: {},
    identity: () => ({
      ...{ vendor: 1, device: 2, revision: 0, classCode: 0xff0000, interruptPin: 0 },
      bars: [{ index: 0, size: 0x1000, kind: 'mem32', ...(shadow && { shadow }) }],
    }),
    registers: [
      { bar: 0, table: { from: { offset: 0, width: 8, access: 'rw', reset: 0, help: '' } } },
    ],
    create: (port) => new Model(port),
  };
  const cases = deviceCases(type, { workload: work, programs: 50 });
  return cases.filter((one) => isWrong(() => one.run())).map(({ name }) => name);
}
function isWrong(run: () => void): boolean {
  try {
    run();
    return false;
  } catch {
    return true;
  }
}

const REFUSED = 'after a refusal of any transfer a reset makes it work again';
const MUTANTS: Readonly<Record<string, readonly [new (port: DevicePort) => DeviceModel, string]>> =
  {
    'goes on after a reset': [
      class extends Copier {
        override reset(): void {
          this.from = 0n;
        }
      },
      'a reset (flr) in the middle of work ends it',
    ],
    'forgets its work when it is saved': [
      class extends Copier {
        override restore(state: { from: bigint }): void {
          super.restore({ from: state.from, leftNs: undefined });
        }
      },
      'saved at any moment of its work it has the same future',
    ],
    'throws at a refusal': [
      class extends Copier {
        override move(): void {
          const bytes = new Uint8Array(64);
          if (this.port.dma.read(this.from, bytes)) throw new Error('refused');
          void this.port.dma.write(0x2000n, bytes);
          this.port.irq.message(0);
        }
      },
      REFUSED,
    ],
    'touches what nobody named': [
      class extends Copier {
        override move(): void {
          void this.port.dma.read(0x5a5a_0000_0000n, new Uint8Array(4));
          super.move();
        }
      },
      '50 random register programs end, and touch what they name',
    ],
    'leaves the memory it was given': [
      class extends Copier {
        override move(): void {
          super.move();
          void this.port.dma.write(0x3000n, new Uint8Array(4));
        }
      },
      'its work is done, in the memory it was given',
    ],
    'works without end': [
      class extends Copier {
        override move(): void {
          for (let n = 0; n < 30_000; n++) super.move();
        }
      },
      '50 random register programs end, and touch what they name',
    ],
    'moves much in one turn': [
      class extends Copier {
        override move(): void {
          for (let n = 0; n < 500; n++) super.move();
        }
      },
      'no turn does much, where all memory is as slow as registers',
    ],
    'works inside of its own transfers': [
      class extends Copier {
        override start(): void {
          this.move();
        }
      },
      'what its own transfers ring is not done inside of them, and ends',
    ],
    'keeps something over a reset': [
      class extends Copier {
        override powerOn(): void {
          this.cancel();
        }
      },
      'a reset (bus) brings back power-on and stops what was in progress',
    ],
    'takes the half of a register for all of it': [
      class extends Copier {
        override mmioRead(bar: number, offset: number, width: number): bigint {
          const value = offset === 4 ? this.from >> 32n : super.mmioRead(bar, offset, width);
          return BigInt.asUintN(8 * width, value);
        }
        override mmioWrite(bar: number, offset: number, width: number, value: bigint): void {
          if (offset === 4) this.from = value << 32n;
          else super.mmioWrite(bar, offset, width, value);
        }
      },
      'two stores of halves are one store',
    ],
    'has another value at power-on than is declared': [
      class extends Copier {
        override powerOn(): void {
          super.powerOn();
          this.from = 0x40n;
        }
      },
      'registers have their declared values at power-on',
    ],
    'gives more than was asked for': [
      class extends Copier {
        override mmioRead(): bigint {
          return 0x100n;
        }
      },
      'a load gives no more than its width',
    ],
  };

test('a model that is right passes', () => {
  expect(failing(Copier)).toEqual([]);
});
test('shadow pages that are not what a load gives are found', () => {
  const page = [{ offset: 0, length: 0x1000 }];
  expect(failing(Copier, workload, page)).toEqual([
    '50 random register programs end, and touch what they name',
  ]);
  class Keeping extends Copier {
    keep(): void {
      const bytes = new BigUint64Array([this.from]);
      this.port.barMemory(0).write(0, new Uint8Array(bytes.buffer));
    }
    override powerOn(): void {
      super.powerOn();
      this.keep();
    }
    override mmioWrite(bar: number, offset: number, width: number, value: bigint): void {
      super.mmioWrite(bar, offset, width, value);
      this.keep();
    }
    override restore(state: { from: bigint; leftNs: number | undefined }): void {
      super.restore(state);
      this.keep();
    }
  }
  expect(failing(Keeping, workload, page)).toEqual([]);
});
test('what outlives a reset is said, and no more than that', () => {
  class Lasting extends Copier {
    copies = 0;
    override move(): void {
      this.copies++;
      super.move();
    }
    override state() {
      return { ...super.state(), copies: this.copies };
    }
    override restore(state: ReturnType<Lasting['state']>): void {
      super.restore(state);
      this.copies = state.copies;
    }
  }
  const inWork = 'a reset (flr) in the middle of work ends it';
  const work = { ...workload, steps: [...workload.steps, ...workload.steps] };
  const check = (): void => undefined;
  const lasting = { ...work, check, outlives: { copies: 'they are counted for ever' } };
  expect(failing(Lasting, { ...work, check })).toContain(inWork);
  expect(failing(Lasting, lasting)).not.toContain(inWork);
});
test.for(Object.entries(MUTANTS))('a model that %s is found', ([, [Model, name]]) => {
  expect(failing(Model)).toContain(name);
});
