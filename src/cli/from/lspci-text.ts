/**
 * The functions in a text of `lspci -vvnn`, `lspci -xxxx`, or both at once.
 *
 * A function begins at a line with its address; what is indented below it belongs to it. Lines that say nothing of use
 * are passed over, and lines that lspci does not write are mistakes with their number.
 */
import { printable } from '../../machine/description/wording.ts';
import { UserMistake } from '../user-mistake.ts';
import { configFacts, type ConfigFacts } from './config-bytes.ts';
import type { FoundFunction, FoundIds } from './found-function.ts';
import { fromHex, LspciDetails } from './lspci-details.ts';

/** Characters of a line; vital product data makes the longest. */
const LONGEST_LINE = 4096;
/** A machine of more is not described by one file. */
export const MOST_FUNCTIONS = 1024;
/** What can be copied of a configuration space: the header, of a CardBus bridge, conventional, extended. */
const DUMP_LENGTHS = [64, 128, 256, 4096];
const LONGEST_DUMP = 4096;

const HEADER = /^((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7]) (.+)$/;
const DUMP = /^([0-9a-f]{2,3}): ((?:[0-9a-f]{2} ){15}[0-9a-f]{2}) ?$/;
/** What lspci and its library complain of, where both its outputs are in one file. */
const COMPLAINT = /^(?:lspci|pcilib): /;

const TAIL = /(?: \(rev ([0-9a-f]{2})\))?(?: \(prog-if ([0-9a-f]{2})(?: \[[^\]]*\])?\))?$/;
const WITH_NAMES = /^.*? \[([0-9a-f]{4})\]: (.*) \[([0-9a-f]{4}):([0-9a-f]{4})\]$/;
const NUMBERS_ONLY = /^([0-9a-f]{4}): ()([0-9a-f]{4}):([0-9a-f]{4})$/;

interface Draft {
  readonly at: string;
  readonly place: string;
  readonly title: string;
  readonly details: LspciDetails;
  readonly dump: number[];
  /** Line of what was last said of it. */
  last: number;
}

/** The functions, in the order of the text. Throws UserMistake; `name` is that of the file. */
export function functionsOfLspci(text: string, name: string): FoundFunction[] {
  if (text.trim() === '') throw new UserMistake(`${name}:1: the text is empty`);
  const lines = text.split('\n');
  if (lines.at(-1) !== '') {
    throw new UserMistake(`${name}:${lines.length}: the text is cut off: its last line has no end`);
  }
  const drafts = draftsOf(lines, name);
  if (drafts.length === 0) throw new UserMistake(`${name}:1: no function is in this text`);
  if (drafts.every(({ details, dump }) => details.isEmpty && dump.length === 0)) {
    throw new UserMistake(
      `${drafts[0]!.place}: this is a list only; lspci -vvnn says what is needed`,
    );
  }
  return drafts.map((draft) => functionOf(draft, name));
}

function draftsOf(lines: readonly string[], name: string): Draft[] {
  const drafts: Draft[] = [];
  for (const [n, raw] of lines.entries()) {
    const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
    const place = `${name}:${n + 1}`;
    if (line.length > LONGEST_LINE) throw notLspci(place, line);
    if (line.trim() === '' || COMPLAINT.test(line)) continue;
    const header = HEADER.exec(line);
    if (header && drafts.length === MOST_FUNCTIONS) {
      throw new UserMistake(`${place}: more than ${MOST_FUNCTIONS} functions`);
    }
    if (header) drafts.push(draftAt(header[1]!, header[2]!, { place, last: n + 1 }));
    else addLine(drafts.at(-1), line, { place, last: n + 1 });
  }
  return drafts;
}

interface Where {
  readonly place: string;
  readonly last: number;
}

function draftAt(address: string, title: string, where: Where): Draft {
  const at = address.split(':').length === 2 ? `0000:${address}` : address;
  return { at, title, details: new LspciDetails(), dump: [], ...where };
}

function addLine(draft: Draft | undefined, line: string, { place, last }: Where): void {
  const dump = DUMP.exec(line);
  if (!draft || (!dump && !/^\s/.test(line))) throw notLspci(place, line);
  draft.last = last;
  if (!dump) {
    const mistake = draft.details.add(line.trim());
    if (mistake !== undefined) throw new UserMistake(`${place}: ${mistake}`);
    return;
  }
  const offset = parseInt(dump[1]!, 16);
  if (offset !== draft.dump.length || offset >= LONGEST_DUMP) {
    const expected = draft.dump.length.toString(16).padStart(2, '0');
    throw new UserMistake(`${place}: bytes are missing: offset ${expected} comes next`);
  }
  for (const byte of dump[2]!.split(' ')) draft.dump.push(parseInt(byte, 16));
}

function notLspci(place: string, line: string): UserMistake {
  return new UserMistake(`${place}: lspci writes no such line: '${printable(line)}'`);
}

function functionOf(draft: Draft, name: string): FoundFunction {
  const { at, place, details } = draft;
  const { length } = draft.dump;
  if (length > 0 && !DUMP_LENGTHS.includes(length)) {
    const end = `${name}:${draft.last}`;
    throw new UserMistake(`${end}: the bytes of ${at} are cut off: ${length} of them are here`);
  }
  const facts = length > 0 ? configFacts(Uint8Array.from(draft.dump)) : undefined;
  const title = titleOf(draft.title);
  const ids = facts ?? (title.ids && { ...title.ids, ...details.subsystemIds });
  if (!ids) {
    throw new UserMistake(`${place}: the ids of ${at} are not here; lspci -vvnn writes them`);
  }
  return {
    ...idsOf(ids),
    at,
    place,
    words: title.words,
    ...mergedDetails(details, facts),
    group: details.group,
    driver: details.driver,
    virtual: ids.vendor === 0xffff,
  };
}

/** What was written in words, and what the bytes say: sizes are in the words alone. */
function mergedDetails(
  details: LspciDetails,
  facts: ConfigFacts | undefined,
): Pick<FoundFunction, 'pin' | 'bars' | 'bridge' | 'capabilities' | 'sees'> {
  const bars = details.bars.length > 0 ? details.bars : facts?.bars;
  return {
    pin: facts?.pin ?? details.pin,
    bars: bars ?? [],
    bridge: facts?.bridge ?? details.bridge,
    capabilities: { ...details.capabilities, ...facts?.capabilities },
    sees: mergedSight(details.sees, facts?.sees),
  };
}

type Sight = FoundFunction['sees'];
function mergedSight(a: Sight, b: Sight = { capabilities: false, extended: false }): Sight {
  return {
    capabilities: a.capabilities || b.capabilities,
    extended: a.extended || b.extended,
  };
}

function idsOf(ids: FoundIds): FoundIds {
  const { vendor, device, classCode, revision, subsystemVendor, subsystem } = ids;
  return { vendor, device, classCode, revision, subsystemVendor, subsystem };
}

function titleOf(title: string): { words: string | undefined; ids: FoundIds | undefined } {
  const tail = TAIL.exec(title)!;
  const rest = title.slice(0, tail.index);
  const [, base, words, vendor, device] = WITH_NAMES.exec(rest) ?? NUMBERS_ONLY.exec(rest) ?? [];
  if (base === undefined) return { words: rest, ids: undefined };
  return {
    words: words === '' ? undefined : words,
    ids: {
      vendor: fromHex(vendor),
      device: fromHex(device),
      classCode: (fromHex(base) << 8) | fromHex(tail[2]),
      revision: fromHex(tail[1]),
      subsystemVendor: 0,
      subsystem: 0,
    },
  };
}
