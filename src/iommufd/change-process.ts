/** IOAS_CHANGE_PROCESS: the caller takes over the accounting of every mapping (iommufd.md 2.8). */
import { EINVAL, EOPNOTSUPP, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import type { Task } from '../base/task.ts';
import type { iommu_ioas_change_process } from '../uapi/iommufd.ts';
import type { IommufdContext } from './context.ts';
import { Ioas } from './ioas.ts';
import type { Ucmd } from './ioctl.ts';
import { charge, payerOf, uncharge, type Pages } from './io-pagetable/pages.ts';

/** @kernel iommufd_ioas_change_process */
export function ioasChangeProcess(ucmd: Ucmd<iommu_ioas_change_process>): Status {
  const { cmd, ctx, task } = ucmd;
  if (cmd.__reserved !== 0) return refuse(EOPNOTSUPP, 'the reserved field is not 0');
  const all = collectPages(ctx);
  if (!all) {
    return refuse(EINVAL, 'only mappings made by IOAS_MAP_FILE can change their process');
  }
  return moveTo(ctx, task, [...all]);
}

/** Every pages object of the context; undefined when one is not of a file. */
function collectPages(ctx: IommufdContext): Set<Pages> | undefined {
  const all = new Set<Pages>();
  for (const ioas of ctx.objects.all()) {
    if (!(ioas instanceof Ioas)) continue;
    for (const area of ioas.iopt.areas.values()) {
      if (area.pages.origin.kind !== 'file') return undefined;
      all.add(area.pages);
    }
  }
  return all;
}

/** Charge the caller for everything first; then nothing can fail. */
function moveTo(ctx: IommufdContext, task: Task, all: readonly Pages[]): Status {
  const { subsystem } = ctx;
  const moving = all.filter((pages) => {
    const { mm, uid } = payerOf(task, pages.accountMode);
    return pages.source.mm !== mm || pages.source.uid !== uid;
  });
  const charged: Pages[] = [];
  for (const pages of moving) {
    const { accountMode, npinned } = pages;
    const rc = charge(subsystem, payerOf(task, accountMode), accountMode, npinned);
    if (rc) {
      for (const done of charged) {
        uncharge(subsystem, payerOf(task, done.accountMode), done.accountMode, done.npinned);
      }
      return rc;
    }
    charged.push(pages);
  }
  for (const pages of moving) {
    uncharge(subsystem, pages.source, pages.accountMode, pages.npinned);
    // What may be locked freely stays where it was counted (2.8).
    if (pages.accountMode !== 'none') {
      pages.counted.pinnedVm -= pages.npinned;
      task.mm.pinnedVm += pages.npinned;
      pages.counted = task.mm;
    }
    pages.source = payerOf(task, pages.accountMode);
  }
  return undefined;
}
