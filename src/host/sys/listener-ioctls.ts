/** What is asked of a seccomp listener by ioctl(2): the numbers, of x86-64. */
export const LISTENER = {
  receive: 0xc0502100,
  send: 0xc0182101,
  isValid: 0x40082102,
  addFd: 0x40182103,
  setFlags: 0x40082104,
} as const;
