// QEMU's machine protocol: JSON lines over a socket, one connection a command.
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

/** Gives `command` ({ execute, arguments }) to the QEMU that listens at `path`; its answer. Throws what it answers instead. */
export async function qmp(path, command) {
  const socket = connect(path);
  try {
    const failed = new Promise((_, reject) => socket.on('error', reject));
    const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
    const next = async () => JSON.parse((await Promise.race([lines.next(), failed])).value);
    const ask = async (what) => {
      socket.write(`${JSON.stringify(what)}\n`);
      for (;;) {
        const { return: result, error } = await next();
        if (error) throw new Error(`QMP ${what.execute}: ${error.desc}`);
        if (result !== undefined) return result;
      }
    };
    await next(); // its greeting
    await ask({ execute: 'qmp_capabilities' });
    return await ask(command);
  } finally {
    socket.destroy();
  }
}
