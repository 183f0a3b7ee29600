/**
 * The fault interrupt handler: reads the fault recording registers, clears them, logs (formats.md 11.1; VT-d 7.2, 7.3).
 *
 * Reading goes from the first index, wrapping, until a record without F. Faults are only reported.
 */
import { fromGranules, hex } from '../../../base/u64.ts';
import { bdf } from '../../../pci/topology.ts';
import { read64, type RegisterPort } from '../../unit/register-port.ts';
import { reportFault, type FaultReporter } from '../../unit/report-fault.ts';
import { faultReason } from '../fault-codes.ts';
import { FSTS_PFO, FSTS_PPF, REG_CAP, REG_FRCD, REG_FSTS } from '../registers.ts';
import { faultRecord } from '../words.ts';

const F_BIT = 1 << 31;

/** @kernel dmar_fault */
export function handleFaults(by: FaultReporter, port: RegisterPort): void {
  const status = port.read32(REG_FSTS);
  if ((status & (FSTS_PPF | FSTS_PFO)) === 0) return;
  const count = Number((read64(port, REG_CAP) >> 40n) & 0xffn) + 1;
  const words = new Int32Array(4);
  let index = (status >> 8) & 0xff;
  for (let n = 0; n < count; n++) {
    const at = REG_FRCD + index * 16;
    for (let word = 0; word < 4; word++) words[word] = port.read32(at + word * 4);
    if (faultRecord.f.get(words, 0) === 0) break;
    port.write32(at + 12, F_BIT);
    report(by, words);
    index = (index + 1) % count;
  }
  port.write32(REG_FSTS, FSTS_PFO);
}

function report(by: FaultReporter, words: Int32Array): void {
  if (!by.env.trace.heedsTroubles) return;
  const requesterId = faultRecord.sid.get(words, 0);
  const code = faultRecord.reason.get(words, 0);
  const write = faultRecord.read.get(words, 0) === 0;
  const iova = fromGranules(faultRecord.address.get(words, 0), 12);
  const hasPasid = faultRecord.pasidPresent.get(words, 0) === 1;
  const pasid = hasPasid ? faultRecord.pasid.get(words, 0) : -1;
  const reason = faultReason(code);
  const kind = `DMA ${write ? 'Write' : 'Read'} ${hasPasid ? `PASID ${hex(pasid)}` : 'NO_PASID'}`;
  const text =
    `DMAR: [${kind}] Request device [${bdf(requesterId)}] fault addr ${hex(iova)} ` +
    `[fault reason 0x${code.toString(16).padStart(2, '0')}] ${reason}`;
  by.env.log('err', text);
  reportFault(by, { requesterId, pasid, write, iova, code, reason, text });
}
