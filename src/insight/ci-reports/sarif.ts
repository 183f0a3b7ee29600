/** A run in SARIF 2.1.0, which code scanning reads: what was noticed, each at its line of source. */
import {
  endedWell,
  endText,
  levelOf,
  NOT_WELL,
  programText,
  seenText,
  type RunOutcome,
} from './run-outcome.ts';
import { placeText, SEEN_KINDS, type Seen, type SeenKind, type SeenPlace } from './seen.ts';

/** What every such file begins with. */
export const SARIF_MARK = '{"properties":{"report":"softiommu"},"version":"2.1.0",';
const SCHEMA = 'https://json.schemastore.org/sarif-2.1.0.json';
/** The program itself, as something that can be wrong. */
const PROGRAM_RULE = { id: 'program-failed', text: NOT_WELL } as const;
type RuleId = SeenKind | typeof PROGRAM_RULE.id;

/** The whole file. */
export function sarifText(outcome: RunOutcome): string {
  const log = {
    $schema: SCHEMA,
    runs: [
      {
        tool: { driver: { name: 'softiommu', version: outcome.version, rules: RULE_LIST } },
        invocations: [invocationOf(outcome)],
        results: resultsOf(outcome),
      },
    ],
  };
  return `${SARIF_MARK}${JSON.stringify(log).slice(1)}\n`;
}

// cast: Object.entries forgets that the keys are kinds
const RULE_TEXTS = [
  [PROGRAM_RULE.id, PROGRAM_RULE.text],
  ...Object.entries(SEEN_KINDS),
] as readonly (readonly [RuleId, string])[];
const RULE_LIST = RULE_TEXTS.map(([id, text]) => ({ id, shortDescription: { text } }));

function invocationOf(outcome: RunOutcome): object {
  const { status, signal } = outcome.end;
  return {
    executionSuccessful: outcome.end.failed === undefined,
    commandLine: programText(outcome),
    ...(status !== undefined && { exitCode: status }),
    ...(signal !== undefined && { exitSignalName: signal }),
  };
}

function resultsOf(outcome: RunOutcome): object[] {
  const { end, seen, program } = outcome;
  const [name = ''] = program;
  const ended = result({ rule: PROGRAM_RULE.id, level: 'error', text: endText(end), name });
  return [
    ...(endedWell(end) ? [] : [ended]),
    ...seen.map((one) => ({
      ...result({
        rule: one.kind,
        level: levelOf(one, outcome),
        name,
        text: seenText(one),
        ...(one.place && { place: one.place }),
      }),
      occurrenceCount: one.count,
      partialFingerprints: { 'softiommu/v1': fingerprint(one) },
      ...(one.others.length > 0 && {
        relatedLocations: one.others.map(({ title, place }, id) => ({
          ...location(place, name),
          id,
          message: { text: title },
        })),
      }),
    })),
  ];
}
interface Told {
  readonly rule: RuleId;
  readonly level: string;
  readonly text: string;
  readonly place?: SeenPlace;
  /** Of the program. */
  readonly name: string;
}
function result({ rule, level, text, place = {}, name }: Told): object {
  const ruleIndex = RULE_TEXTS.findIndex(([id]) => id === rule);
  return {
    ruleId: rule,
    ruleIndex,
    level,
    message: { text },
    locations: [location(place, name)],
  };
}
/** Readers want one: without source it is the file of code, and in the end the program. */
function location({ file, line, module, function: named }: SeenPlace, program: string): object {
  return {
    physicalLocation: {
      artifactLocation: { uri: uriOf(file ?? module ?? program) },
      ...(line !== undefined && { region: { startLine: line } }),
    },
    ...(named !== undefined && { logicalLocations: [{ name: named, kind: 'function' }] }),
  };
}
function uriOf(path: string): string {
  // Halves of characters have no code in a URI.
  const parts = path.replace(/\p{Surrogate}/gu, '\ufffd').split('/');
  return (path.startsWith('/') ? 'file://' : '') + parts.map(encodeURIComponent).join('/');
}
/** The same for the same mistake of another run: no addresses, no counts. */
function fingerprint({ kind, place, others, title }: Seen): string {
  if (!place) return `${kind} ${title.replace(/\d+/g, '#')}`;
  const places = [place, ...others.map((other) => other.place)];
  return `${kind} ${places.map(placeText).join(' / ')}`;
}
