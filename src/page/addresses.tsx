/** The IO virtual addresses of one domain at one moment: mappings, holes, and the addresses that DMA missed. */
import { useMemo, useState } from 'preact/hooks';
import {
  addressRows,
  widthsOf,
  type AddressRow,
  type Missed,
} from '../insight/report/address-rows.ts';
import { reservedRanges } from '../insight/report/reserved.ts';
import { sizeText } from '../insight/report/address-story.ts';
import type { DomainStory, Story } from '../insight/report/story.ts';
import type { ViewProps } from './ui.ts';

/** Rows in the table at first; more on demand. */
const ROWS = 500;
/** Segments of the drawing, at most: more cannot be told apart. */
const SEGMENTS = 400;

export function Addresses(props: ViewProps) {
  const { story, place, go } = props;
  const keys = [...story.domains.keys()];
  const key =
    place.domain !== undefined && story.domains.has(place.domain) ? place.domain : busiest(story);
  if (key === undefined) return <p>Nothing was mapped in this trace.</p>;
  return (
    <section aria-label="Addresses">
      <p>
        <label>
          Domain{' '}
          <select value={key} onChange={(event) => go({ domain: event.currentTarget.value })}>
            {keys.map((each) => {
              const { name, devices } = story.domains.get(each)!;
              return (
                <option key={each} value={each}>
                  {name} {[...devices].join(', ')}
                </option>
              );
            })}
          </select>
        </label>
      </p>
      <Moment key={key} domain={story.domains.get(key)!} {...props} />
    </section>
  );
}

function busiest(story: Story): string | undefined {
  const weight = ({ addresses, devices }: DomainStory): number =>
    addresses.mappings.length + (devices.size > 0 ? 0.5 : 0);
  return [...story.domains.entries()].sort(([, a], [, b]) => weight(b) - weight(a))[0]?.[0];
}

function Moment(props: ViewProps & { readonly domain: DomainStory }) {
  const { domain, facts, story, place } = props;
  const end = story.events.at(-1)?.seq ?? 0;
  const misses = useMemo(() => missesOf(story, domain), [story.events.length, domain]);
  const reserved = useMemo(
    () => reservedRanges(facts.reserved ?? [], (device) => isUser(domain, device)),
    [facts, domain, domain.devices.size],
  );
  const [chosen, choose] = useState<number>();
  const at = chosen ?? place.seq ?? misses.at(-1)?.seq ?? end;
  const rows = useMemo(
    () =>
      addressRows(
        domain.addresses.at(at),
        misses.filter(({ seq }) => seq <= at),
        reserved,
      ),
    [domain, at, reserved, story.events.length],
  );
  return (
    <>
      <p>
        <label>
          As it was at event {at}{' '}
          <input
            type="range"
            min={0}
            max={end}
            value={at}
            onInput={(event) => choose(Number(event.currentTarget.value))}
          />
        </label>
      </p>
      <Drawing rows={rows} />
      <Table rows={rows} {...props} />
    </>
  );
}

/** With a PASID or without. */
function isUser({ devices }: DomainStory, device: string): boolean {
  return [...devices].some((user) => user === device || user.startsWith(`${device} `));
}

/** Transfers that found nothing, or were not permitted. */
function missesOf(story: Story, domain: DomainStory): Missed[] {
  return [...story.dmas.values()].flatMap((dma) => {
    const event = story.event(dma.seq)?.event;
    if (dma.domain !== domain || event?.kind !== 'dma' || event.ok) return [];
    return { seq: dma.seq, iova: dma.iova };
  });
}

function Drawing({ rows }: { readonly rows: readonly AddressRow[] }) {
  const shown = rows.slice(0, SEGMENTS);
  const widths = widthsOf(shown);
  let x = 0;
  return (
    <svg class="map" viewBox="0 0 1000 40" preserveAspectRatio="none" aria-hidden="true">
      {shown.map((row, n) => {
        const left = x;
        x += widths[n]! * 1000;
        return row.kind === 'fault' ? (
          <rect key={n} class="fault" x={Math.max(0, left - 2)} y={0} width={4} height={40} />
        ) : (
          <rect key={n} class={row.kind} x={left} y={8} width={widths[n]! * 1000} height={24}>
            <title>{rangeText(row)}</title>
          </rect>
        );
      })}
    </svg>
  );
}

function Table({ rows, go }: ViewProps & { readonly rows: readonly AddressRow[] }) {
  const [most, setMost] = useState(ROWS);
  return (
    <>
      <table>
        <thead>
          <tr>
            <th scope="col">Addresses</th>
            <th scope="col">Size</th>
            <th scope="col">What</th>
            <th scope="col">Event</th>
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, most).map((row) => (
            <tr
              key={`${row.kind} ${row.iova} ${row.kind === 'fault' ? row.seq : ''}`}
              class={row.kind}
            >
              <td>{rangeText(row)}</td>
              <td>{row.kind === 'fault' ? '' : sizeText(row.last - row.iova + 1n)}</td>
              <td>{meaningOf(row)}</td>
              <td>
                <EventLink row={row} go={go} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > most && (
        <button type="button" onClick={() => setMost(most * 4)}>
          {rows.length - most} more
        </button>
      )}
    </>
  );
}

function EventLink({ row, go }: { readonly row: AddressRow; readonly go: ViewProps['go'] }) {
  if (row.kind === 'hole' || row.kind === 'reserved') return null;
  const seq = row.kind === 'fault' ? row.seq : row.of.from;
  return (
    <button type="button" class="link" onClick={() => go({ seq })}>
      {seq}
    </button>
  );
}

function rangeText({ kind, iova, last }: AddressRow): string {
  const from = `0x${iova.toString(16)}`;
  return kind === 'fault' ? from : `${from} to 0x${last.toString(16)}`;
}
function meaningOf(row: AddressRow): string {
  if (row.kind === 'hole') return 'nothing';
  if (row.kind === 'reserved') return `reserved: ${RESERVED[row.what] ?? row.what}`;
  if (row.kind === 'fault') return 'DMA was stopped here';
  const { pa, prot, dmas } = row.of;
  const to = pa === undefined ? 'mapped' : `to 0x${pa.toString(16)}`;
  const rights = prot === undefined ? '' : `, ${rightsText(prot)}`;
  return `${to}${rights}${dmas.length > 0 ? `, ${dmas.length} transfers` : ''}`;
}
/** What the words of `reserved_regions` mean. */
const RESERVED: Readonly<Record<string, string>> = {
  msi: 'interrupts (msi)',
  direct: 'mapped one to one, as the firmware asks (direct)',
  'direct-relaxable': 'the firmware used it while the machine started (direct-relaxable)',
  reserved: 'no device may use it (reserved)',
};
/** IOMMU_READ is bit 0, IOMMU_WRITE bit 1. */
function rightsText(prot: number): string {
  return ['nothing permitted', 'read', 'write', 'read and write'][prot & 3]!;
}
