/** Where the mappings of a run come from: the calls that made them, for whoever meets one of them. */
import { isErrno } from '../../base/errno.ts';
import type { LeaveEvent, Stamped } from '../../base/events.ts';
import type { Choice } from '../../base/hearing.ts';
import { requestsOf } from '../../uapi/decode.ts';
import type { MappingOrigins } from '../explain/origins.ts';
import type { FailedCall } from '../explain/trouble.ts';
import type { CallSites } from '../sites/call-site.ts';
import { siteAndCallerText } from '../sites/site-text.ts';
import { MappingCalls, WHOLE_SPACE } from './mapping-calls.ts';
import { askedRange, MAPPING_COMMANDS, spaceOf } from './mapping-commands.ts';

const FOLLOWED: ReadonlySet<string> = new Set([...Object.keys(MAPPING_COMMANDS), 'IOMMU_DESTROY']);

/** Listens to one machine. */
export class KeptOrigins implements MappingOrigins {
  readonly #sites: CallSites | undefined;
  readonly #mappings = new MappingCalls({ comparesRights: false });

  constructor(sites?: CallSites) {
    this.#sites = sites;
  }
  /** What it needs to hear. */
  readonly choice: Choice = (() => {
    const requests = requestsOf((command) => FOLLOWED.has(command));
    return {
      events: new Set(),
      enters: false,
      calls: (_name, request) => request !== undefined && requests.has(request),
    };
  })();
  /** A listener for `Trace.listenTo`, with its choice. */
  readonly take = ({ event }: Stamped): void => {
    if (event.kind === 'leave' && !isErrno(event.result)) this.#did(event);
  };
  metBy(call: FailedCall): string | undefined {
    const asked = askedRange(call);
    const met = asked && this.#mappings.firstIn(spaceOf(call, asked.ioas), asked);
    if (!met) return undefined;
    const place = met.site && siteAndCallerText(met.site);
    return `mapped by ${met.command} of process ${met.pid}${place === undefined ? '' : `, ${place}`}`;
  }

  #did(event: LeaveEvent): void {
    const { command = '', pid = 0, args } = event;
    if (command === 'IOMMU_DESTROY') {
      this.#mappings.end(spaceOf(event, Number(args?.['id'])), undefined);
      return;
    }
    const asked = askedRange(event);
    if (!asked) return;
    const { ioas, iova, length } = asked;
    const space = spaceOf(event, ioas);
    if (asked.what === 'unmap') {
      this.#mappings.undo(space, asked.isAll ? WHOLE_SPACE : asked, undefined);
      return;
    }
    const { va, rights } = asked;
    const site = this.#sites?.here();
    const own = { command, pid, space, va, site, failed: undefined, undone: undefined };
    this.#mappings.add({ iova, length, ...rights, ...own });
  }
}
