/** Packets of a Perfetto trace as bytes: which field has which number and type. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { TracePacket } from '../insight/views/perfetto-packets.ts';

/** How a value is written. A number of a field, and how; the name of a message stands for its fields. */
type Scalar = 'bool' | 'fixed64' | 'int32' | 'int64' | 'string' | 'uint32' | 'uint64';
type Field = readonly [number: number, type: Scalar | keyof typeof MESSAGES];

const MESSAGES = {
  CounterDescriptor: { unit: [3, 'int32'] },
  DebugAnnotation: {
    bool_value: [2, 'bool'],
    uint_value: [3, 'uint64'],
    int_value: [4, 'int64'],
    string_value: [6, 'string'],
    pointer_value: [7, 'uint64'],
    name: [10, 'string'],
  },
  ProcessDescriptor: { pid: [1, 'int32'], cmdline: [2, 'string'], process_name: [6, 'string'] },
  ThreadDescriptor: { pid: [1, 'int32'], tid: [2, 'int32'], thread_name: [5, 'string'] },
  TracePacket: {
    timestamp: [8, 'uint64'],
    trusted_packet_sequence_id: [10, 'uint32'],
    track_event: [11, 'TrackEvent'],
    sequence_flags: [13, 'uint32'],
    track_descriptor: [60, 'TrackDescriptor'],
  },
  TrackDescriptor: {
    uuid: [1, 'uint64'],
    name: [2, 'string'],
    process: [3, 'ProcessDescriptor'],
    thread: [4, 'ThreadDescriptor'],
    parent_uuid: [5, 'uint64'],
    counter: [8, 'CounterDescriptor'],
  },
  TrackEvent: {
    debug_annotations: [4, 'DebugAnnotation'],
    type: [9, 'int32'],
    track_uuid: [11, 'uint64'],
    categories: [22, 'string'],
    name: [23, 'string'],
    counter_value: [30, 'int64'],
    flow_ids: [47, 'fixed64'],
    terminating_flow_ids: [48, 'fixed64'],
  },
} as const;
/** Of a trace, whose only field they are. */
const PACKET = 1;

const WIRE_TYPES: Readonly<Partial<Record<Scalar, WireType>>> = {
  fixed64: WireType.Bit64,
  string: WireType.LengthDelimited,
};

/** A packet with its tag and length: what a trace is one after the other of. */
export function packetBytes(packet: TracePacket): Uint8Array {
  const writer = new BinaryWriter();
  writeField(writer, [PACKET, 'TracePacket'], packet);
  return writer.finish();
}

function writeMessage(
  writer: BinaryWriter,
  fields: Readonly<Record<string, Field>>,
  message: object,
): void {
  for (const [name, value] of Object.entries(message)) {
    const field = fields[name];
    if (!field) throw new Error(`no number is known for the field ${name}`);
    for (const each of Array.isArray(value) ? value : [value]) writeField(writer, field, each);
  }
}
function writeField(writer: BinaryWriter, [number, type]: Field, value: unknown): void {
  if (type in MESSAGES) {
    // cast: checked in the line above
    const fields = MESSAGES[type as keyof typeof MESSAGES];
    writer.tag(number, WireType.LengthDelimited).fork();
    // cast: a field of a message has an object
    writeMessage(writer, fields, value as object);
    writer.join();
    return;
  }
  // cast: what is no message is a scalar
  const scalar = type as Scalar;
  writer.tag(number, WIRE_TYPES[scalar] ?? WireType.Varint);
  // cast: the types of the packets say what each field has
  (writer[scalar] as (value: unknown) => unknown).call(writer, value);
}
