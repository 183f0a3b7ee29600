/** Signals of Linux on x86-64 by name, without SIG (signal(7)). */
const NAMES =
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'.split(
    ' ',
  );

/** 'INT' → 2 */
export const SIGNAL_NUMBERS: Readonly<Record<string, number>> = Object.fromEntries(
  NAMES.map((name, n) => [name, n + 1]),
);
