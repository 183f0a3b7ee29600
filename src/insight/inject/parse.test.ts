/** What expressions of -e mean, and what is said of those that mean nothing. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EINTR, ENOMEM, ENOSYS } from '../../base/errno.ts';
import { parseFaultPlan } from './parse.ts';
import { expressionsOf, tokenOf } from './token.ts';
import { isDue } from './values.ts';

const rulesOf = (...texts: string[]) => {
  const plan = parseFaultPlan(texts);
  if ('problem' in plan) throw new Error(plan.problem);
  return plan.rules;
};
const setOf = (set: string) => {
  const [rule] = rulesOf(`inject=${set}:error=EINTR`);
  return rule?.kind === 'call' ? [...rule.calls].sort() : [];
};

describe('a rule for calls', () => {
  test.each([
    ['inject=IOMMU_IOAS_MAP:error=ENOMEM', { result: ENOMEM, after: false, per: 'thread' }],
    ['inject=IOMMU_IOAS_MAP:error=12:after', { result: ENOMEM, after: true }],
    ['inject=read:retval=0x10', { result: 16 }],
    ['fault=ioctl', { result: ENOSYS }],
    ['fault=ioctl:error=EINTR', { result: EINTR }],
    ['inject=ioctl:signal=SIGINT', { result: undefined, signal: 2 }],
    ['inject=ioctl:signal=USR1', { signal: 10 }],
    ['inject=ioctl:signal=34', { signal: 34 }],
    ['inject=ioctl:delay_enter=500', { delayEnterNs: 500_000, delayExitNs: 0 }],
    ['inject=ioctl:delay_exit=2ms', { delayEnterNs: 0, delayExitNs: 2e6 }],
    ['inject=ioctl:delay_exit=70ns:delay_enter=1s', { delayEnterNs: 1e9, delayExitNs: 70 }],
    ['inject=VFIO_IOMMU_UNMAP_DMA:retval=0:field=size=0x10', { result: 0, field: ['size', 16n] }],
    ['inject=ioctl:error=EINTR:path=/dev/iommu', { path: '/dev/iommu' }],
    ['inject=write:error=EINTR:path=/sys/a\\:b', { path: '/sys/a:b' }],
    ['inject=write:error=EINTR:path=/sys/0000:00:04.0/reset', { path: '/sys/0000:00:04.0/reset' }],
    ['inject=ioctl:device=0000:0A:00.0:error=EINTR', { device: '0000:0a:00.0', result: EINTR }],
    ['inject=ioctl:error=EINTR:device=01:00.0', { device: '0000:01:00.0' }],
    ['inject=ioctl:error=EINTR:ioas=3:object=4:per=run', { ioas: 3, object: 4, per: 'run' }],
  ])('%s', (text, parts) => {
    expect(rulesOf(text)).toMatchObject([{ kind: 'call', text, ...parts }]);
  });
});

describe('a set of calls', () => {
  test.each([
    ['open', ['openat']],
    ['pread,pwrite', ['pread64', 'pwrite64']],
    ['%rw', ['pread64', 'pwrite64', 'read', 'write']],
    ['/^IOMMU_IOAS_(UN)?MAP$', ['IOMMU_IOAS_MAP', 'IOMMU_IOAS_UNMAP']],
    ['?nothing,mmap', ['mmap']],
    ['!all', []],
    ['!%ioctl,%rw', ['mmap', 'openat']],
  ])('%s', (set, names) => {
    expect(setOf(set)).toEqual(names);
  });
  test('ioctl is every command, %iommufd and %vfio are those of the two', () => {
    const both = [...setOf('%iommufd'), ...setOf('%vfio')].sort();
    expect(setOf('ioctl')).toEqual([...both, 'ioctl'].sort());
    expect(both).toContain('VFIO_DEVICE_RESET');
    expect(both).toContain('IOMMU_HWPT_ALLOC');
  });
});

describe('a rule for a device', () => {
  test.each([
    ['device=0000:01:00.0:drop', { device: '0000:01:00.0', fault: 'drop' }],
    ['device=any:delay=1ms:when=3+', { device: undefined, fault: 'delay', ns: 1e6 }],
    ['device=01:00.0:wild', { fault: 'wild', at: undefined }],
    ['device=01:00.0:wild=0x1000:dma=read', { fault: 'wild', at: 0x1000n, write: false }],
    ['device=01:00.0:torn', { fault: 'torn', ns: 1e6 }],
    ['device=01:00.0:page-requests', { fault: 'page-requests', count: 256 }],
    ['device=01:00.0:page-requests=3', { fault: 'page-requests', count: 3 }],
    ['device=01:00.0:irq-delay=5s', { fault: 'irq-delay', ns: 5e9 }],
  ])('%s', (text, parts) => {
    expect(rulesOf(text)).toMatchObject([{ kind: 'device', text, ...parts }]);
  });
});
test('a rule for points of failure names one or any', () => {
  expect(rulesOf('fail=pin:when=2', 'fail=any')).toMatchObject([
    { kind: 'point', point: 'pin', when: { first: 2, last: 2 } },
    { kind: 'point', point: undefined },
  ]);
});
test('the seed is the plan’s', () => {
  expect(parseFaultPlan(['seed=7'])).toEqual({ rules: [], seed: 7 });
});

const MISTAKES: [string, number, RegExp][] = [
  ['', 1, /nothing that can go wrong; there are device, fail, fault, inject or seed/],
  ['injekt=ioctl', 1, /'injekt'/],
  ['inject=IOMMU_IOAS_MAPP:error=EIO', 8, /did you mean .*IOMMU_IOAS_MAP/],
  ['inject=frobnicate:error=EIO', 8, /a system call \(openat, /],
  ['inject=read,close:error=EIO', 13, /a close cannot fail/],
  ['inject=%nix:error=EIO', 8, /%all, .* or %vfio/],
  ['inject=/(:error=EIO', 9, /no regular expression/],
  ['inject=/^Z$:error=EIO', 9, /no call or command matches/],
  ['inject=ioctl', 13, /nothing is asked for/],
  ['inject=ioctl:when=2', 20, /nothing is asked for/],
  ['inject=ioctl:error=EWHAT', 20, /no errno .* EINVAL /],
  ['inject=ioctl:error=0', 20, /no errno/],
  ['inject=ioctl:error=517', 20, /no errno/],
  ['inject=ioctl:error=EIO:retval=1', 24, /exclude each other/],
  ['inject=ioctl:error=EIO:error=EIO', 24, /there twice/],
  ['inject=ioctl:retval=-1', 21, /from 0 to 2147483647/],
  ['inject=ioctl:retval=2147483648', 21, /from 0 to/],
  ['inject=ioctl:eror=EIO', 14, /'eror' is no option; there are after, delay_enter, .* or when/],
  ['inject=ioctl:after=1:error=EIO', 19, /'after' has no value/],
  ['inject=ioctl:after:signal=INT', 14, /for a call with error or retval/],
  ['inject=mmap:delay_exit=5', 13, /'delay_exit' is for ioctl, read and write; mmap/],
  ['inject=open:retval=5', 13, /'retval' is for/],
  ['inject=ioctl:signal=SIGFOO', 21, /no signal/],
  ['inject=ioctl:signal=65', 21, /no signal/],
  ['inject=ioctl:delay_exit=0', 25, /no time/],
  ['inject=ioctl:delay_exit=5h', 25, /no time/],
  ['inject=ioctl:delay_exit=86401s', 25, /at most a day/],
  ['inject=ioctl:error=EIO:when=0', 29, /the first call is number 1/],
  ['inject=ioctl:error=EIO:when=1+0', 29, /the least step is 1/],
  ['inject=ioctl:error=EIO:when=5..4', 29, /4 comes before 5/],
  ['inject=ioctl:error=EIO:when=1..4+', 29, /says not which calls/],
  ['inject=ioctl:error=EIO:when=', 29, /N, N\+, N\+STEP, N\.\.M or N\.\.M\+STEP/],
  ['inject=ioctl:error=EIO:device=4', 31, /no address of a device/],
  ['inject=ioctl:error=EIO:path=', 29, /a path is missing/],
  ['inject=ioctl:error=EIO:per=cpu', 28, /thread, process or run/],
  ['inject=ioctl:error=EIO:', 24, /'' is no option/],
  ['inject=ioctl:error=EIO\\', 20, /no errno/],
  ['inject=IOMMU_IOAS_UNMAP:retval=0:field=size', 40, /NAME=VALUE, such as size=0/],
  ['inject=IOMMU_IOAS_UNMAP:retval=0:field=sise=0', 34, /its fields are size, ioas_id/],
  ['inject=IOMMU_IOAS_UNMAP:retval=0:field=size=x', 45, /no address of 64 bits/],
  ['inject=IOMMU_IOAS_UNMAP:field=size=0:signal=INT', 25, /for a call with error or retval/],
  ['inject=read:retval=0:field=size=0', 22, /it has no struct/],
  ['fail=kmalloc', 6, /charge, .* or any/],
  ['fail=pin:error=EIO', 10, /per or when/],
  ['device=any:page-requests=257', 26, /1 to 256/],
  ['device=eth0:drop', 8, /no address of a device/],
  ['device=01:00.0', 15, /a rule has one of corrupt, /],
  ['device=01:00.0:drop:corrupt', 21, /a rule has one of/],
  ['device=01:00.0:irq-drop:dma=read', 25, /an interrupt is no transfer/],
  ['device=01:00.0:delay=5:dma=read', 24, /a device waits for what it reads/],
  ['device=01:00.0:drop:dma=both', 25, /a read or a write/],
  ['device=01:00.0:wild=house', 21, /no address of 64 bits/],
  ['device=01:00.0:delay', 21, /no time/],
  ['seed=x', 6, /no whole number/],
];
describe('a mistake is one line with its column', () => {
  test.each(MISTAKES)('%s', (text, column, why) => {
    const plan = parseFaultPlan([text]);
    const problem = 'problem' in plan ? plan.problem : '';
    expect(problem).toContain(`-e ${text}: column ${column}: `);
    expect(problem).toMatch(why);
    expect(problem).not.toContain('\n');
  });
});

describe('when', () => {
  const MODELS: [string, (n: number) => boolean][] = [
    ['3', (n) => n === 3],
    ['3+', (n) => n >= 3],
    ['3+2', (n) => [3, 5, 7, 9, 11, 13, 15, 17, 19].includes(n)],
    ['3..6', (n) => [3, 4, 5, 6].includes(n)],
    ['3..8+4', (n) => [3, 7].includes(n)],
  ];
  test.each(MODELS)('%s', (text, model) => {
    const [rule] = rulesOf(`fail=any:when=${text}`);
    const calls = Array.from({ length: 20 }, (_, n) => n + 1);
    expect(calls.filter((n) => isDue(rule!.when, n))).toEqual(calls.filter(model));
  });
});

describe('a token', () => {
  test('can be read, and is one word for a shell', () => {
    const token = tokenOf(['inject=/IOAS|HWPT:error=EIO:when=2+', 'device=01:00.0:drop']);
    expect(token).toBe('1~inject=/IOAS%7cHWPT:error=EIO:when=2+~device=01:00.0:drop');
  });
  test('gives back any expressions', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (texts) => {
        const token = tokenOf(texts);
        expect(token).toMatch(/^[\w=:.,+/@%~-]*$/);
        expect(expressionsOf(token)).toEqual(texts);
      }),
    );
  });
  test.each([
    ['', /column 1: a token begins with 1~/],
    ['2~inject=ioctl:error=EIO', /column 1/],
    ['1~seed=1~inject=%4', /column 10: this part was cut/],
  ])('%s is refused', (token, why) => {
    const read = expressionsOf(token);
    expect('problem' in read && read.problem).toMatch(why);
  });
});
test('no text is too strange to be answered with one line', () => {
  const words = fc.constantFrom('inject=', 'device=', ':', '=', 'when=', '\\', '/', '01:00.0', '%');
  const text = fc.array(fc.oneof(words, fc.string())).map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, (expression) => {
      const plan = parseFaultPlan([expression]);
      expect('problem' in plan ? plan.problem : '-e ').toMatch(/^-e .*$/);
    }),
  );
});
