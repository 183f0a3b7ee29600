/** Packets of a Perfetto trace as plain objects, by the names of its messages' fields. */

/** One of a trace. */
export interface TracePacket {
  /** Nanoseconds. */
  readonly timestamp?: bigint;
  readonly trusted_packet_sequence_id: number;
  readonly sequence_flags?: number;
  readonly track_event?: TrackEvent;
  readonly track_descriptor?: TrackDescriptor;
}
/** A track: of a process, a thread, a counter, or of whatever its name says. */
export interface TrackDescriptor {
  readonly uuid: bigint;
  readonly name?: string;
  readonly parent_uuid?: bigint;
  readonly process?: ProcessDescriptor;
  readonly thread?: ThreadDescriptor;
  readonly counter?: CounterDescriptor;
}
/** Of which process a track is. */
export interface ProcessDescriptor {
  readonly pid: number;
  readonly cmdline?: readonly string[];
  readonly process_name?: string;
}
/** Of which thread. */
export interface ThreadDescriptor {
  readonly pid: number;
  readonly tid: number;
  readonly thread_name?: string;
}
/** That a track is of numbers, and of which. */
export interface CounterDescriptor {
  readonly unit: number;
}
/** Something on a track. */
export interface TrackEvent {
  readonly type: TrackEventType;
  readonly track_uuid: bigint;
  readonly name?: string;
  readonly categories?: readonly string[];
  readonly counter_value?: bigint;
  readonly flow_ids?: readonly bigint[];
  readonly terminating_flow_ids?: readonly bigint[];
  readonly debug_annotations?: readonly DebugAnnotation[];
}
/** A value of an event, with its name. */
export interface DebugAnnotation {
  readonly name: string;
  readonly bool_value?: boolean;
  readonly uint_value?: bigint;
  readonly int_value?: bigint;
  readonly string_value?: string;
  readonly pointer_value?: bigint;
}

/** What an event does to its track. */
export const TRACK_EVENT_TYPE = { begin: 1, end: 2, instant: 3, counter: 4 } as const;
/** One of them. */
export type TrackEventType = (typeof TRACK_EVENT_TYPE)[keyof typeof TRACK_EVENT_TYPE];
/** Incremental state begins here: of the first packet of a sequence. */
export const SEQ_INCREMENTAL_STATE_CLEARED = 1;
/** What a counter counts: things. */
export const UNIT_COUNT = 2;
/** Or bytes. */
export const UNIT_SIZE_BYTES = 3;
