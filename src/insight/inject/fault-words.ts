/** The words that expressions of -e begin with which make something go wrong; others choose what is shown of a trace. */
export const FAULT_WORDS = ['device', 'fail', 'fault', 'inject', 'seed'] as const;
