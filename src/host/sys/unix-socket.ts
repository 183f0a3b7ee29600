/** Unix sockets that have a name, and network interfaces of the kind tap; nothing here waits. */
import { cString, syscall } from './ffi.ts';
import * as libc from './libc.ts';
import { MSG_NOSIGNAL, NR, O_CLOEXEC, O_NONBLOCK, O_RDWR } from './numbers.ts';
import { notShort } from './shortage.ts';

/** What goes through a socket: bytes, messages without a connection, messages of one. */
export const SOCKET_KINDS = { stream: 1, datagram: 2, packets: 5 } as const;
/** Its name. */
export type SocketKind = keyof typeof SOCKET_KINDS;

const AF_UNIX = 1;
/** struct sockaddr_un: the family, and a name with its zero. */
const NAME = { at: 2, end: 110 } as const;
const MSG_TRUNC = 0x20;

/** The address of a socket. Undefined: its name is too long for one. */
export function socketAddress(path: string): Buffer | undefined {
  const name = cString(path);
  if (name.length > NAME.end - NAME.at) return undefined;
  const address = Buffer.alloc(NAME.at + name.length);
  address.writeUInt16LE(AF_UNIX, 0);
  address.set(name, NAME.at);
  return address;
}
/** socket(2): a descriptor, or minus an errno. */
export function unixSocket(kind: SocketKind): number {
  return notShort(syscall(NR.socket, AF_UNIX, SOCKET_KINDS[kind] | O_NONBLOCK | O_CLOEXEC, 0));
}
/** bind(2): makes the file. */
export function bind(fd: number, address: Buffer): number {
  return syscall(NR.bind, fd, address, address.length);
}
/** connect(2); EAGAIN: too many others wait to be accepted. */
export function connect(fd: number, address: Buffer): number {
  return syscall(NR.connect, fd, address, address.length);
}
/** listen(2): as many may wait to be accepted. */
export function listen(fd: number, waiting: number): number {
  return syscall(NR.listen, fd, waiting);
}
/** accept4(2): a descriptor, or minus an errno. */
export function accept(fd: number): number {
  return syscall(NR.accept4, fd, 0, 0, O_NONBLOCK | O_CLOEXEC);
}
/** send(2), to an address where there is no connection: bytes, or minus an errno. */
export function send(fd: number, from: Uint8Array, to?: Buffer): number {
  return syscall(NR.sendto, fd, from, from.length, MSG_NOSIGNAL, to ?? 0, to?.length ?? 0);
}
/** recv(2) of one message: its whole length, though what did not fit is gone; or minus an errno. */
export function receiveMessage(fd: number, into: Uint8Array): number {
  return syscall(NR.recvfrom, fd, into, into.length, MSG_TRUNC, 0, 0);
}

const IFNAMSIZ = 16;
const TUNSETIFF = 0x400454ca;
/** Frames of Ethernet, with nothing before them. */
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
/** struct ifreq */
const REQUEST = 40;

/** The frames of an interface, each read and written whole: a descriptor, or minus an errno. */
export function openTap(name: string): number {
  const fd = libc.open('/dev/net/tun', O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return fd;
  const request = Buffer.alloc(REQUEST);
  request.write(name, 0, IFNAMSIZ - 1, 'latin1');
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI, IFNAMSIZ);
  const rc = libc.ioctl(fd, TUNSETIFF, request);
  if (rc >= 0) return fd;
  libc.close(fd);
  return rc;
}
