import { describe, expect, test } from 'vitest';
import {
  EACCES,
  EAGAIN,
  EBADF,
  EBUSY,
  EDEADLK,
  EFAULT,
  EINVAL,
  EISDIR,
  EMFILE,
  ENODEV,
  ENOMEM,
  ENOTTY,
  ESPIPE,
  isErrno,
} from '../../base/errno.ts';
import { must } from '../../testing/base/must.ts';
import { OpenFile, type FileOps, type SharedPages } from '../../base/file.ts';
import { WaitQueue } from '../../base/wait-queue.ts';
import { textAttr, writableAttr } from '../files/tree.ts';
import { Machine } from '../machine.ts';
import { ProgramEventfd } from './program-eventfd.ts';
import { SharedObject } from './program-memory.ts';
import type { Program } from './program.ts';
import { PlainPages } from './shared-pages.ts';

function start(): { machine: Machine; program: Program } {
  const machine = new Machine();
  return { machine, program: machine.program() };
}
/** A program with a file of these operations open. */
function withFile(ops: FileOps, mode?: { read: boolean; write: boolean }) {
  const { machine, program } = start();
  const file = new OpenFile('/dev/test', ops, {});
  if (mode) file.openedFor({ ...mode, nonblocking: false });
  return { machine, program, file, fd: must(program.installFile(file)) };
}
const eight = (): Uint8Array => new Uint8Array(8);

test.for([
  ['6.1', undefined],
  ['6.6', EFAULT],
] as const)('on Linux %s a pin to write shared pages of ext4 is %s', ([version, expected]) => {
  const { description } = new Machine();
  const kernel = { ...description.kernel, version };
  const { mem, mm } = new Machine({ ...description, kernel }).program();
  const options = { writeback: true };
  const va = must(mem.mapShared(new SharedObject('ext4:1', 4096), 0, 4096, options));
  expect(mm.pin(Number(va >> 12n), 1, true, new Float64Array(1), 0)).toBe(expected);
});

test('the address space of a program ends', () => {
  const { program } = start();
  expect(program.mmap(0x1000, { address: (1n << 47n) - 0x1000n })).toBe(ENOMEM);
  expect(program.mmap(0x1000, { address: (1n << 47n) - 0x2000n })).toBe((1n << 47n) - 0x2000n);
});

test('the trace has the result of a call where the kernel layers know it', () => {
  const { machine, program } = start();
  const heard: unknown[] = [];
  using _ = machine.env.trace.listen(({ event }) => {
    if (event.kind === 'leave') heard.push([event.name, event.result]);
  });
  const fd = must(program.open('/sys/bus/pci/devices/0000:00:04.0/vendor', { write: false }));
  must(program.read(fd, eight()));
  const group = must(program.open('/dev/vfio/0'));
  expect(program.close(group)).toBeUndefined();
  must(program.open('/dev/vfio/0'));
  expect(program.open('/dev/vfio/0')).toBe(EBUSY);
  expect(heard).toEqual([
    ['read', '0x1234\n'.length],
    ['openat', 4],
    ['close', 0],
    ['openat', 4],
    ['openat', EBUSY],
  ]);
});

describe('files', () => {
  test('absent operations answer as the kernel does', () => {
    const { program, fd } = withFile({});
    expect(program.ioctl(fd, 1)).toBe(ENOTTY);
    expect(program.read(fd, eight())).toBe(EINVAL);
    expect(program.write(fd, eight())).toBe(EINVAL);
    expect(program.mmap(4096, { fd })).toBe(ENODEV);
  });
  test('the mode of the open decides what may be done', () => {
    const { program, fd } = withFile(
      { read: () => 0, write: () => 0 },
      { read: false, write: false },
    );
    expect(program.read(fd, eight())).toBe(EBADF);
    expect(program.write(fd, eight())).toBe(EBADF);
  });
  test('a stream has no positions', () => {
    const { program, fd } = withFile({ stream: true, read: () => 8, write: () => 8 });
    expect(program.read(fd, eight(), 0n)).toBe(ESPIPE);
    expect(program.write(fd, eight(), 0n)).toBe(ESPIPE);
    expect(program.read(fd, eight())).toBe(8);
  });
  test('plain reads and writes move the position, pread does not', () => {
    const seen: (bigint | undefined)[] = [];
    const note = (_f: unknown, _t: unknown, bytes: { length: number }, at?: bigint): number => {
      seen.push(at);
      return bytes.length;
    };
    const { program, fd } = withFile({ read: note, write: note });
    for (const at of [undefined, 100n, undefined]) expect(program.read(fd, eight(), at)).toBe(8);
    expect(program.write(fd, eight())).toBe(8);
    expect(seen).toEqual([0n, 100n, 8n, 16n]);
  });
  test('the request of an ioctl is cut to 32 bits', () => {
    const { program, fd } = withFile({ ioctl: (_f, _t, cmd) => cmd & 0xff });
    expect(program.ioctl(fd, -0x1_0000_0000n + 0x3bn)).toBe(0x3b);
  });
});

describe('file descriptors', () => {
  test('the last close releases, also after dup and at exit', () => {
    let released = 0;
    const { program, fd } = withFile({ release: () => released++ });
    const copy = must(program.dup(fd));
    expect(program.close(fd)).toBeUndefined();
    expect(released).toBe(0);
    expect(program.close(fd)).toBe(EBADF);
    expect(program.ioctl(copy, 1)).toBe(ENOTTY);
    program.exit();
    expect(released).toBe(1);
    expect(program.openFds).toBe(0);
  });
  test('what is no open file is EBADF', () => {
    const { program } = start();
    expect(program.close(99)).toBe(EBADF);
    expect(program.dup(99)).toBe(EBADF);
    expect(program.ioctl(99, 1)).toBe(EBADF);
    expect(program.read(99, eight())).toBe(EBADF);
    expect(program.getFile(99)).toBe(EBADF);
    expect(program.getEventfd(99)).toBe(EBADF);
  });
  test('a directory cannot be opened, and fds run out', () => {
    const { program } = start();
    expect(program.open('/sys/bus/pci')).toBe(EISDIR);
    let last: unknown = 0;
    for (let n = 0; n < 1100 && !isErrno(last); n++) last = program.eventfd();
    expect(last).toBe(EMFILE);
  });
});

describe('waiting', () => {
  test('a call that waits lets time pass until it is answered', () => {
    let ready = false;
    const wait = new WaitQueue();
    const { machine, program, fd } = withFile({ stream: true, read: () => (ready ? 8 : wait) });
    machine.env.clock.after(5000, () => {
      ready = true;
    });
    expect(program.read(fd, eight())).toBe(8);
    expect(machine.env.clock.nowNs).toBe(5000);
  });
  test('a wait where nothing will happen is a deadlock, and a nonblocking file says EAGAIN', () => {
    const wait = new WaitQueue();
    const { program, file, fd } = withFile({ stream: true, read: () => wait });
    expect(program.read(fd, eight())).toBe(EDEADLK);
    file.nonblocking = true;
    expect(program.read(fd, eight())).toBe(EAGAIN);
  });
});

describe('eventfds', () => {
  test('eventfds count signals and start again when read', () => {
    const { program } = start();
    const fd = must(program.eventfd());
    const eventfd = must(program.getEventfd(fd));
    eventfd.signal();
    eventfd.signal();
    const into = eight();
    expect(program.read(fd, into)).toBe(8);
    expect(into[0]).toBe(2);
    expect(program.read(fd, into)).toBe(EDEADLK);
  });
  test('eventfds take eight bytes, and tell listeners what the program writes', () => {
    const { program } = start();
    const fd = must(program.eventfd());
    let heard = 0;
    using listening = must(program.getEventfd(fd)).listen(() => heard++);
    expect(listening).toBeDefined();
    expect(program.write(fd, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0))).toBe(8);
    expect(heard).toBe(1);
    expect(program.read(fd, new Uint8Array(4))).toBe(EINVAL);
    expect(program.write(fd, new Uint8Array(4))).toBe(EINVAL);
  });
  test('another file is no eventfd', () => {
    const { program, fd } = withFile({});
    expect(program.getEventfd(fd)).toBe(EINVAL);
  });
});

describe('memory', () => {
  test('mappings have a length, an aligned free place, and are unmapped whole', () => {
    const { program } = start();
    expect(program.mmap(0)).toBe(EINVAL);
    expect(program.mmap(4096, { address: 0x1001n })).toBe(EINVAL);
    const va = must(program.mmap(0x2000, { address: 0x10_0000n }));
    expect(program.mmap(4096, { address: va + 0x1000n })).toBe(ENOMEM);
    expect(program.munmap(va, 0x1000)).toBe(EINVAL);
    expect(program.munmap(va, 0x2000)).toBeUndefined();
    expect(program.load(va, 4)).toBe(EFAULT);
  });
  test('protections of mappings hold', () => {
    const { program } = start();
    const va = must(program.mmap(4096, { writable: false }));
    expect(program.load(va, 4)).toBe(0n);
    expect(program.store(va, 4, 1n)).toBe(EFAULT);
  });
  test('a memfd is one object wherever it is mapped, and ends where it ends', () => {
    const { program } = start();
    const fd = must(program.memfd(0x1000));
    const [a, b] = [must(program.mmap(0x2000, { fd })), must(program.mmap(0x1000, { fd }))];
    expect(program.store(a + 8n, 4, 0x1234n)).toBeUndefined();
    expect(program.load(b + 8n, 4)).toBe(0x1234n);
    expect(program.load(a + 0x1000n, 4)).toBe(EFAULT);
    expect(program.mmap(0x1000, { fd, offset: 1n })).toBe(EINVAL);
  });
  test('registers answer loads and stores, and SIGBUS while decoding is off', () => {
    const { machine, program } = start();
    const { window } = machine.pci.device('0000:00:04.0')!.fn.bars[0]!;
    const va = must(program.mem.mapRegisters(window, 0, 0x1000));
    expect(program.load(va, 4)).toBe(0x0100_00edn);
    expect(program.store(va + 4n, 4, 1n)).toBeUndefined();
    machine.pci.device('0000:00:04.0')!.fn.writeConfig(4, 2, 0);
    expect(program.load(va, 4)).toBe(EFAULT);
    expect(program.store(va, 4, 0n)).toBe(EFAULT);
  });
});

describe('mapped pages of a file', () => {
  function withPages(pages: SharedPages) {
    const seen = { closed: 0, released: 0 };
    const opened = withFile({
      mmap: () => ({
        kind: 'pages',
        pages,
        start: 0,
        open: () => undefined,
        close: () => seen.closed++,
      }),
      release: () => seen.released++,
    });
    return { ...opened, seen };
  }
  test('mapped pages that another process of the host owns are EINVAL', () => {
    const { program, fd, seen } = withPages({ lengthBytes: 4096 } as unknown as SharedPages);
    expect(program.mmap(4096, { fd })).toBe(EINVAL);
    expect(seen).toEqual({ closed: 1, released: 0 });
  });
  test('mapped pages are closed once, and keep their file open until then', () => {
    const { program, fd, seen } = withPages(new PlainPages('pages', 4096));
    const at = must(program.mmap(4096, { fd }));
    expect(program.close(fd)).toBeUndefined();
    expect(seen).toEqual({ closed: 0, released: 0 });
    expect(program.munmap(at, 4096)).toBeUndefined();
    expect(seen).toEqual({ closed: 1, released: 1 });
  });
  test('the mappings of a program go at its end as well', () => {
    const { program, fd, seen } = withPages(new PlainPages('pages', 4096));
    must(program.mmap(4096, { fd }));
    expect(program.mmap(4096, { fd, address: 8n })).toBe(EINVAL);
    expect(seen).toEqual({ closed: 1, released: 0 });
    program.exit();
    expect(seen).toEqual({ closed: 2, released: 1 });
  });
});

describe('what else a program is refused', () => {
  test('a read of an eventfd that counts nothing, when it may not wait, is EAGAIN', () => {
    const eventfd = new ProgramEventfd('e', 0n);
    eventfd.nonblocking = true;
    expect(eventfd.read(eight())).toBe(EAGAIN);
  });
  test('a write to an attribute that is read-only is EINVAL; from its middle it is whole all the same', () => {
    const { machine, program } = start();
    const bytes = new TextEncoder().encode('identity');
    const attr = textAttr(() => 'x\n');
    expect(machine.syscalls.writeAttr(program, '/sys/x', attr, bytes)).toBe(EINVAL);
    const fd = must(program.open('/sys/kernel/iommu_groups/0/type', { write: true }));
    expect(program.write(fd, bytes, 3n)).toBe(bytes.length);
  });
  test('an attribute that has no text to read is EACCES', () => {
    const { machine, program } = start();
    const attr = writableAttr(undefined, () => undefined);
    expect(machine.syscalls.readAttr(program, '/sys/x', attr)).toBe(EACCES);
  });
  test('a read or write it did not open the attribute for is EBADF', () => {
    const { program } = start();
    const type = '/sys/kernel/iommu_groups/0/type';
    expect(program.read(must(program.open(type, { read: false })), eight())).toBe(EBADF);
    expect(program.write(must(program.open(type, { write: false })), eight())).toBe(EBADF);
    // Not said: what the attribute is there for.
    const vendor = must(program.open('/sys/bus/pci/devices/0000:00:04.0/vendor'));
    expect(program.read(vendor, eight())).toBe(7);
    expect(program.write(vendor, eight())).toBe(EBADF);
  });
  test('what the mode of a file does not give it, by its own user and groups, is EACCES', () => {
    const { machine } = start();
    const user = machine.program({ uid: 1000, groups: [5] });
    const type = '/sys/kernel/iommu_groups/0/type';
    expect(user.open('/dev/iommu')).toBe(EACCES);
    expect(user.open(type, { read: false })).toBe(EACCES);
    expect(user.write(must(user.open(type)), eight())).toBe(EBADF);
    const owned = new Machine(undefined, { owner: { uid: 7, gid: 5 } });
    const member = owned.program({ uid: 1000, groups: [5] });
    expect(isErrno(member.open('/dev/iommu'))).toBe(false);
    expect(owned.program({ uid: 1000 }).open('/dev/iommu')).toBe(EACCES);
  });
  test('an access to bytes behind the end of an object is EFAULT', () => {
    const object = new SharedObject('memfd:x', 4096);
    expect(object.read(4090n, eight())).toBe(EFAULT);
    expect(object.write(4090n, eight())).toBe(EFAULT);
    expect(object.read(4088n, eight())).toBeUndefined();
  });
  test('a module parameter that is no number is EINVAL', () => {
    const { program } = start();
    const path = '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit';
    const fd = must(program.open(path, { write: true }));
    for (const text of ['\n', 'many', '-1', '4294967296']) {
      expect(program.write(fd, new TextEncoder().encode(text), 0n)).toBe(EINVAL);
    }
    expect(program.write(fd, new TextEncoder().encode('7\n'), 0n)).toBe(2);
  });
});
