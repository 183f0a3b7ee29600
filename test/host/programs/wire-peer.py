# The other end of a wire, as QEMU's -netdev stream or dgram is one: wire-peer.py stream|packets PATH COUNT, or
# wire-peer.py datagram OWN PATH COUNT. Sends each frame back; after COUNT of them it goes.
import os, socket, struct, sys, time

kind, count = sys.argv[1], int(sys.argv[-1])

def connected(kind, path):
    for _ in range(3000):
        wire = socket.socket(socket.AF_UNIX, kind)
        try:
            wire.connect(path)
            return wire
        except (FileNotFoundError, ConnectionRefusedError):
            wire.close()
            time.sleep(0.01)
    sys.exit('nobody listens')

def exactly(wire, length):
    got = b''
    while len(got) < length:
        part = wire.recv(length - len(got))
        if not part:
            sys.exit('the wire has ended')
        got += part
    return got

if kind == 'stream':
    wire = connected(socket.SOCK_STREAM, sys.argv[2])
    for _ in range(count):
        prefix = exactly(wire, 4)
        frame = exactly(wire, struct.unpack('>I', prefix)[0])
        # In pieces, as a stream may bring them.
        for part in (prefix[:1], prefix[1:] + frame[:7], frame[7:]):
            wire.sendall(part)
elif kind == 'packets':
    wire = connected(socket.SOCK_SEQPACKET, sys.argv[2])
    for _ in range(count):
        wire.send(wire.recv(1 << 17))
else:
    wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    wire.bind(sys.argv[2])
    os.chmod(sys.argv[2], 0o777)
    for _ in range(count):
        wire.sendto(wire.recv(1 << 17), sys.argv[3])
