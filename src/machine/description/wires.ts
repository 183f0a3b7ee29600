/** Wires that lead out of a machine: a network interface of the host, or a Unix socket. Their shape, and whether it can be. */
import * as z from 'zod';
import { PLAIN_WIRES } from '../../devices/wires.ts';
import { must, type Problem } from './shape-problems.ts';

const file = z.string().min(1).optional();

/** How frames go over a connection. */
export const WIRE_FORMS = ['stream', 'packets'] as const;

const keys = {
  tap: z
    .string()
    .regex(/^[^\s/:%]{1,15}$/, {
      error: ({ input }) => must('the name of a network interface, such as tap0', input),
    })
    .optional()
    .describe('a network interface of the host, of the kind tap, that is there'),
  listen: file.describe(
    'a Unix socket with this name, made for the run; one at a time connects to it',
  ),
  connect: file.describe('the Unix socket of somebody who listens there when the run begins'),
  datagram: file.describe(
    'a Unix socket with this name, made for the run: each datagram is a frame',
  ),
  to: file.describe('of datagram: the socket that frames are sent to'),
  form: z
    .enum(WIRE_FORMS)
    .optional()
    .describe(
      'of listen and connect: stream (the default), each frame after its length in four bytes, big-endian; or packets (SOCK_SEQPACKET)',
    ),
};
/** One wire out of the machine. */
export const wireShape = z.strictObject(keys);
/** Keys of one. */
export const WIRE_KEYS = Object.keys(keys);
/** One wire out of the machine as data. */
export type WireDescription = z.output<typeof wireShape>;

/** What it is of, one of these each; those of the second list are names of files. */
const ENDS = ['tap', 'listen', 'connect', 'datagram'] as const;
const FILES = ['listen', 'connect', 'datagram', 'to'] as const;
const NAME = /^[A-Za-z][A-Za-z0-9_.-]{0,31}$/;

/** Is each of them something that can be? */
export function wireProblems(wires: Readonly<Record<string, WireDescription>>): Problem[] {
  return Object.entries(wires).flatMap(([name, wire]) => {
    const problems = [...nameProblems(name), ...keyProblems(wire)];
    return problems.map(([key, message]) => ({
      path: ['wires', name, key].filter(Boolean),
      message,
    }));
  });
}

type KeyProblem = readonly [key: '' | keyof WireDescription, message: string];

function nameProblems(name: string): KeyProblem[] {
  if (PLAIN_WIRES.includes(name)) {
    return [['', `'${name}' is a wire that leads nowhere out of the machine`]];
  }
  return NAME.test(name)
    ? []
    : [['', must('a letter, and up to 31 letters, digits and . _ -', name)]];
}
function keyProblems(wire: WireDescription): KeyProblem[] {
  const { datagram, to, form } = wire;
  const ends = ENDS.filter((key) => wire[key] !== undefined);
  const isConnection = wire.listen !== undefined || wire.connect !== undefined;
  const rules: readonly (readonly [broken: boolean, ...KeyProblem])[] = [
    [ends.length !== 1, '', `a wire has one end outside: one of ${ENDS.join(', ')}`],
    [to !== undefined && datagram === undefined, 'to', 'to is said of datagram'],
    [datagram !== undefined && to === undefined, '', 'datagrams are sent somewhere: to is missing'],
    [form !== undefined && !isConnection, 'form', 'form is said of listen and connect'],
    ...FILES.map((key) => {
      const isNoFile = wire[key]?.includes('\0') === true;
      return [isNoFile, key, must('the name of a file', wire[key])] as const;
    }),
  ];
  return rules.flatMap(([broken, ...problem]) => (broken ? [problem] : []));
}
