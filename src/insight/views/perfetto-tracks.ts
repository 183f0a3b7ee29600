/** The tracks of a Perfetto trace: a process and its threads, and below the machine its IOMMUs, domains and devices. */
import { UNIT_COUNT, UNIT_SIZE_BYTES, type TrackDescriptor } from './perfetto-packets.ts';

/** Makes each track when something is on it for the first time, and says so to `declare`. */
export class PerfettoTracks {
  readonly #declare: (descriptor: TrackDescriptor) => void;
  readonly #program: readonly string[];
  readonly #known = new Map<string, bigint>();
  readonly #comms = new Map<number, string>();

  /** `program`: the command line of the first process. */
  constructor(program: readonly string[], declare: (descriptor: TrackDescriptor) => void) {
    this.#program = program;
    this.#declare = declare;
  }

  /** What a process is called, from now on. */
  nameProcess(pid: number, comm: string): void {
    this.#comms.set(pid, comm);
  }
  thread(pid: number, tid: number): bigint {
    return this.#track(`thread ${pid} ${tid}`, () => ({
      parent_uuid: this.#process(pid),
      thread: { pid, tid, ...this.#named(pid, 'thread_name') },
    }));
  }
  machine(): bigint {
    return this.#track('machine', () => ({ name: 'machine' }));
  }
  unit(name: string): bigint {
    return this.#inMachine(`IOMMU ${name}`);
  }
  domain(name: string): bigint {
    return this.#inMachine(`domain ${name}`);
  }
  device(name: string): bigint {
    return this.#inMachine(`device ${name}`);
  }
  /** Bytes that a domain maps. */
  mapped(domain: string): bigint {
    return this.#track(`mapped ${domain}`, () => ({
      parent_uuid: this.domain(domain),
      name: `mapped by ${domain}`,
      counter: { unit: UNIT_SIZE_BYTES },
    }));
  }

  /** How many mappings a domain has. */
  mappings(domain: string): bigint {
    return this.#track(`mappings ${domain}`, () => ({
      parent_uuid: this.domain(domain),
      name: `mappings of ${domain}`,
      counter: { unit: UNIT_COUNT },
    }));
  }
  /** Pages of programs that are pinned for devices. */
  pinned(): bigint {
    return this.#track('pinned', () => ({
      parent_uuid: this.machine(),
      name: 'pinned pages',
      counter: { unit: UNIT_COUNT },
    }));
  }
  /** Bytes that a program has mapped in an address space of its own. */
  addressSpace(name: string): bigint {
    return this.#track(`space ${name}`, () => ({
      parent_uuid: this.machine(),
      name: `mapped in ${name}`,
      counter: { unit: UNIT_SIZE_BYTES },
    }));
  }

  #process(pid: number): bigint {
    return this.#track(`process ${pid}`, () => {
      const isFirst = ![...this.#known.keys()].some((key) => key.startsWith('process '));
      const cmdline = isFirst && this.#program.length > 0 ? { cmdline: this.#program } : {};
      return { process: { pid, ...cmdline, ...this.#named(pid, 'process_name') } };
    });
  }
  #named<K extends string>(pid: number, key: K): Partial<Record<K, string>> {
    const comm = this.#comms.get(pid);
    // cast: an object of one key
    return comm === undefined ? {} : ({ [key]: comm } as Record<K, string>);
  }
  #inMachine(name: string): bigint {
    return this.#track(name, () => ({ parent_uuid: this.machine(), name }));
  }
  #track(key: string, describe: () => Omit<TrackDescriptor, 'uuid'>): bigint {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const described = describe();
    const uuid = BigInt(this.#known.size + 1);
    this.#known.set(key, uuid);
    this.#declare({ uuid, ...described });
    return uuid;
  }
}
