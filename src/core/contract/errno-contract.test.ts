/** What the errno of an attach means: the table of core.md 12.5, row by row. */
import { describe, expect, test } from 'vitest';
import { Rig } from '../../testing/core/rig.ts';
import { createMockDriver } from '../../drivers/mock/index.ts';
import {
  EBUSY,
  EFAULT,
  EINVAL,
  EIO,
  ENODEV,
  ENOMEM,
  ENOSPC,
  EPERM,
  isErrno,
  type Errno,
  type Status,
} from '../../base/errno.ts';
import {
  attachDevice,
  attachGroup,
  attachGroupHandle,
  replaceGroupHandle,
} from '../attach/attach.ts';
import {
  attachBySearch,
  attachFirstFitting,
  isType1Match,
  reuseType1Domain,
  type Type1Domain,
} from '../attach/auto-domain.ts';
import { classifyAttach } from './errno-contract.ts';
import { groupClaimDmaOwner } from '../group/ownership.ts';
import { attachDevicePasid } from '../attach/pasid.ts';
import { resetPrepare } from '../group/reset.ts';
import { IOMMU_RESV_DIRECT } from './resv-region.ts';

const HARD = [ENOMEM, ENOSPC, EBUSY, ENODEV, EPERM];
const named = HARD.map((errno) => ({ name: errno.name, errno }));

describe('the classifier', () => {
  test.for([
    { rc: undefined, kind: 'ok', concerns: 'nothing', errno: undefined, discouraged: false },
    { rc: EINVAL, kind: 'soft', concerns: 'pair', errno: EINVAL, discouraged: false },
    { rc: ENOMEM, kind: 'hard', concerns: 'memory', errno: ENOMEM, discouraged: false },
    { rc: ENOSPC, kind: 'hard', concerns: 'resource', errno: ENOSPC, discouraged: false },
    { rc: EBUSY, kind: 'hard', concerns: 'state', errno: EBUSY, discouraged: false },
    { rc: ENODEV, kind: 'hard', concerns: 'device', errno: ENODEV, discouraged: false },
    { rc: EPERM, kind: 'hard', concerns: 'device', errno: ENODEV, discouraged: true },
    { rc: EFAULT, kind: 'hard', concerns: 'device', errno: ENODEV, discouraged: true },
  ])('$rc is $kind and concerns the $concerns', ({ rc, ...expected }) => {
    expect(classifyAttach(rc)).toEqual({ ...expected, original: rc });
  });
});

interface Search {
  readonly tried: string[];
  readonly freed: string[];
  readonly result: ReturnType<typeof attachBySearch<string>>;
}

/** Search among domains that answer with these results; 'new' is what alloc makes. */
function search(answers: Readonly<Record<string, Status>>, alloc: Errno | 'new' = 'new'): Search {
  const tried: string[] = [];
  const freed: string[] = [];
  const result = attachBySearch<string>({
    candidates: Object.keys(answers).filter((name) => name !== 'new'),
    attach(name) {
      tried.push(name);
      return answers[name];
    },
    alloc: () => alloc,
    free: (name) => freed.push(name),
  });
  return { tried, freed, result };
}

describe('a search by errno', () => {
  test('a search by errno goes on after EINVAL', () => {
    const { tried, result } = search({ one: EINVAL, two: undefined, three: undefined });
    expect(tried).toEqual(['one', 'two']);
    expect(result).toEqual({ domain: 'two', isNew: false });
  });
  test.for(named)('a search by errno stops at $name, which is the answer', ({ errno }) => {
    const { tried, result } = search({ one: errno, two: undefined });
    expect(tried).toEqual(['one']);
    expect(result).toBe(errno);
  });
  test('a search by errno makes a new domain when none fits', () => {
    const { result, freed } = search({ one: EINVAL, new: undefined });
    expect(result).toEqual({ domain: 'new', isNew: true });
    expect(freed).toEqual([]);
  });
  test('EINVAL of a new domain ends the search, and the domain is freed', () => {
    const { result, freed } = search({ one: EINVAL, new: EINVAL });
    expect(result).toBe(EINVAL);
    expect(freed).toEqual(['new']);
  });
  test('a failed allocation is the answer of the search', () => {
    expect(search({ one: EINVAL }, ENOMEM).result).toBe(ENOMEM);
  });
  test('a search without candidates finds nothing', () => {
    expect(attachFirstFitting([], () => undefined)).toBeUndefined();
  });
});

describe('the search of type1', () => {
  const rig = new Rig();
  const other = createMockDriver(rig.core);
  const like = (enforceCacheCoherency: boolean, ops = rig.domain('U').ops): Type1Domain => {
    const domain = rig.domain('T');
    domain.ops = ops;
    return { domain, enforceCacheCoherency };
  };
  const ops = other.ops.defaultDomainOps;
  const run = (answers: Map<Type1Domain, Status>, fresh: Type1Domain, existing: Type1Domain[]) => {
    const calls: string[] = [];
    const name = (d: Type1Domain) => (d === fresh ? 'new' : `old${String(existing.indexOf(d))}`);
    const result = reuseType1Domain({
      fresh,
      existing,
      attach(candidate) {
        calls.push(`+${name(candidate)}`);
        return answers.get(candidate);
      },
      detach: (candidate) => calls.push(`-${name(candidate)}`),
    });
    return { calls, result };
  };

  test('the search of type1 tries domains of the same ops and coherency only', () => {
    expect(isType1Match(like(true, ops), like(true, ops))).toBe(true);
    expect(isType1Match(like(true, ops), like(false, ops))).toBe(false);
    expect(isType1Match(like(true, ops), like(true, { ...ops }))).toBe(false);
  });
  test('any errno of a candidate brings the new domain of type1 back', () => {
    const [fresh, bad, good] = [like(true, ops), like(true, ops), like(true, ops)];
    const { calls, result } = run(new Map([[bad, EPERM]]), fresh, [bad, good]);
    expect(calls).toEqual(['-new', '+old0', '+new', '-new', '+old1']);
    expect(result).toBe(good);
  });
  test('the new domain of type1 stays attached all the time without a match', () => {
    const fresh = like(true, ops);
    const { calls, result } = run(new Map(), fresh, [like(false, ops)]);
    expect(calls).toEqual([]);
    expect(result).toBe(fresh);
  });
  test('a new domain of type1 that cannot come back is an error', () => {
    const [fresh, bad] = [like(true, ops), like(true, ops)];
    const answers = new Map<Type1Domain, Status>([
      [bad, EINVAL],
      [fresh, EIO],
    ]);
    expect(run(answers, fresh, [bad]).result).toBe(EIO);
  });
});

describe('the calls pass the code of the driver through', () => {
  const CALLS: Record<string, (rig: Rig) => Status> = {
    attach_device: (rig) => attachDevice(rig.domain('U'), rig.a),
    attach_group: (rig) => attachGroup(rig.domain('U'), rig.group),
    attach_group_handle: (rig) =>
      attachGroupHandle(rig.domain('U'), rig.group, { domain: undefined }),
    replace_group_handle: (rig) =>
      replaceGroupHandle(rig.group, rig.domain('U'), { domain: undefined }),
  };
  const rows = Object.keys(CALLS).flatMap((call) =>
    [...HARD, EINVAL, EFAULT].map((errno) => ({ call, errno, name: errno.name })),
  );
  test.for(rows)(
    '$call passes on $name of the driver, with the state restored and nothing logged',
    ({ call, errno }) => {
      for (const members of [[{ name: 'A' }], [{ name: 'A' }, { name: 'B' }]]) {
        if (call === 'attach_device' && members.length > 1) continue;
        const rig = new Rig({ members });
        const logged: unknown[] = [];
        rig.core.env.trace.listen(({ event }) => {
          if (event.kind === 'log' || event.kind === 'warn') logged.push(event);
        });
        rig.mock.knobsOf(rig.devices.at(-1)!).failAttach.push({ errno });
        const before = rig.on;
        expect(CALLS[call]!(rig)).toBe(errno);
        expect(rig.on).toBe(before);
        expect(logged).toEqual([]);
      }
    },
  );
  test('after EINVAL of one domain another one is attached', () => {
    const rig = new Rig();
    const [u, u2] = [rig.domain('U'), rig.domain('U2')];
    rig.mock.knobsOf(rig.b).failAttach.push({ errno: EINVAL, domain: u });
    const found = attachFirstFitting([u, u2], (domain) => attachGroup(domain, rig.group));
    expect(isErrno(found) ? found : found?.fits).toBe(u2);
  });
});

describe('EINVAL and EBUSY of the core itself', () => {
  test('an attach of more than one device is EINVAL of the core', () => {
    const rig = new Rig();
    expect(attachDevice(rig.domain('U'), rig.a)).toBe(EINVAL);
  });
  test('a domain of another driver is EINVAL of the core', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    u.owner = createMockDriver(rig.core).ops;
    expect(attachGroup(u, rig.group)).toBe(EINVAL);
  });
  test('a first device without an IOMMU is EINVAL of the core', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    rig.a.iommu!.iommuDev = undefined;
    expect(attachGroup(u, rig.group)).toBe(EINVAL);
  });
  test('a domain that blocks where firmware wants direct mappings is EINVAL of the core', () => {
    const region = { start: 0x1000n, length: 0x1000n, prot: 3, type: IOMMU_RESV_DIRECT };
    const rig = new Rig({ members: [{ name: 'A', knobs: { resvRegions: [region] } }] });
    expect(attachGroup(rig.mock.ops.blockedDomain!, rig.group)).toBe(EINVAL);
  });
  test('a group that is attached, being reset, or has the PASID in use is EBUSY of the core', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(attachGroup(u, rig.group)).toBeUndefined();
    expect(attachGroup(u, rig.group)).toBe(EBUSY);
    expect(attachDevicePasid(u, rig.a, 5)).toBeUndefined();
    expect(attachDevicePasid(u, rig.a, 5)).toBe(EBUSY);
    const reset = new Rig();
    expect(resetPrepare(reset.a)).toBeUndefined();
    expect(groupClaimDmaOwner(reset.group, {})).toBe(EBUSY);
  });
});
