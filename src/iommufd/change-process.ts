/** IOAS_CHANGE_PROCESS: the caller takes over the accounting of every mapping (iommufd.md 2.8). */
import { EINVAL, isErrno, type Result, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import type { Task } from '../base/task.ts';
import type { iommu_ioas_change_process } from '../uapi/iommufd.ts';
import type { IommufdContext } from './context.ts';
import { Ioas } from './ioas.ts';
import type { Ucmd } from './ioctl.ts';
import type { Pages } from './io-pagetable/pages.ts';
import { checkReserved } from './checks.ts';

/** @kernel iommufd_ioas_change_process */
export function ioasChangeProcess(ucmd: Ucmd<iommu_ioas_change_process>): Status {
  const { cmd, ctx, task } = ucmd;
  const wrong = checkReserved(cmd.__reserved);
  if (wrong) return wrong;
  const all = collectPages(ctx);
  if (isErrno(all)) return all;
  return moveTo(ctx, task, [...all]);
}

/** Every pages object of the context. EINVAL: one is not of a file. */
function collectPages(ctx: IommufdContext): Result<Set<Pages>, 'EINVAL'> {
  const all = new Set<Pages>();
  for (const ioas of ctx.objects.all()) {
    if (!(ioas instanceof Ioas)) continue;
    for (const area of ioas.iopt.areas.values()) {
      const { kind } = area.backing.origin;
      if (kind !== 'file') {
        return refuse(EINVAL, 'only mappings made by IOAS_MAP_FILE can change their process', {
          ioas_id: ioas.id,
          memory: kind,
        });
      }
      all.add(area.pages);
    }
  }
  return all;
}

/** Charge the caller for everything first; then nothing can fail. */
function moveTo(ctx: IommufdContext, task: Task, all: readonly Pages[]): Status {
  const { accounting } = ctx.subsystem;
  const takeover = ({ payer }: Pages) => accounting.payerOf(task, payer.mode);
  const moving = all.filter((pages) => {
    const { mm, uid } = takeover(pages);
    return pages.payer.mm !== mm || pages.payer.uid !== uid;
  });
  for (const [n, pages] of moving.entries()) {
    const rc = accounting.charge(takeover(pages), pages.npinned);
    if (!rc) continue;
    for (const done of moving.slice(0, n)) accounting.uncharge(takeover(done), done.npinned);
    return rc;
  }
  for (const pages of moving) {
    // What may be locked freely stays where it was counted (2.8).
    const stays = pages.payer.mode === 'none';
    pages.moveTo(takeover(pages), stays ? pages.counted : task.mm);
  }
  return undefined;
}
