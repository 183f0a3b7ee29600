/**
 * The edu device (1234:11e8) driven from TypeScript, twice: through a VFIO container and through /dev/iommu.
 *
 * Each time: find the device in sysfs, map memory for it, let it copy bytes out and back by DMA, wait for its interrupt,
 * then let it touch an address that is not mapped and see the fault. Run: npx tsx examples/edu-dma.ts
 */
import { Machine, type Program } from 'softiommu';
import { iommu_ioas_alloc, IOMMU_IOAS_ALLOC, IOMMU_IOAS_MAP, iommu_ioas_map } from 'softiommu/uapi';
import * as vfio from 'softiommu/uapi';
import { runIfMain, type Print } from './run.ts';

const IOVA = 0x10_0000n;
const UNMAPPED = 0x80_0000n;
const MESSAGE = 'softiommu says hello';

export function main(print: Print): void {
  const machine = new Machine();
  print(machine.topology());
  const faults: string[] = [];
  using _ = machine.trace(({ event }) => {
    if (event.kind === 'fault') faults.push(event.text);
  });
  for (const [name, openDevice] of [
    ['legacy: container, group, type1', openThroughContainer],
    ['cdev: /dev/iommu and /dev/vfio/devices', openThroughIommufd],
  ] as const) {
    print(`== ${name}`);
    const program = machine.program();
    const address = findEdu(program);
    const memory = program.alloc(0x4000);
    const fd = openDevice(program, address, memory.address, memory.bytes.length);
    copyOutAndBack({ program, fd, memory: memory.bytes, print });
    const where = machine.explain(address, IOVA);
    print(`0x${IOVA.toString(16)} is translated to 0x${where.pa!.toString(16)}:`);
    for (const table of where.tables) print(`  ${table.name.padEnd(22)} ${table.meaning}`);
    for (const step of where.walk) {
      print(`  level ${step.level} entry ${String(step.index).padStart(3)}      ${step.kind}`);
    }
    print(`fault: ${faults.pop() ?? 'none'}`);
    program.exit();
  }
  machine.close();
  print('done: nothing is left open, pinned or mapped');
}

/** As any program does: by vendor and device id in sysfs. */
function findEdu(program: Program): string {
  const devices = program.readdir('/sys/bus/pci/devices');
  const found = devices.find((name) => {
    const id = (file: string): string =>
      program.readText(`/sys/bus/pci/devices/${name}/${file}`).trim();
    return id('vendor') === '0x1234' && id('device') === '0x11e8';
  });
  if (found === undefined) throw new Error('no edu device on this machine');
  return found;
}

function openThroughContainer(p: Program, address: string, va: bigint, size: number): number {
  const group = p.readlink(`/sys/bus/pci/devices/${address}/iommu_group`).split('/').at(-1)!;
  const container = p.open('/dev/vfio/vfio');
  const groupFd = p.open(`/dev/vfio/${group}`);
  p.ioctl(groupFd, vfio.VFIO_GROUP_SET_CONTAINER, new Uint8Array(Int32Array.of(container).buffer));
  p.ioctl(container, vfio.VFIO_SET_IOMMU, vfio.VFIO_TYPE1v2_IOMMU);
  const map = vfio.vfio_iommu_type1_dma_map.view(new Uint8Array(32));
  map.argsz = 32;
  map.flags = vfio.VFIO_DMA_MAP_FLAG_READ | vfio.VFIO_DMA_MAP_FLAG_WRITE;
  map.vaddr = va;
  map.iova = IOVA;
  map.size = BigInt(size);
  p.ioctl(container, vfio.VFIO_IOMMU_MAP_DMA, map);
  return p.ioctl(groupFd, vfio.VFIO_GROUP_GET_DEVICE_FD, new TextEncoder().encode(`${address}\0`));
}

function openThroughIommufd(p: Program, address: string, va: bigint, size: number): number {
  const [cdev] = p.readdir(`/sys/bus/pci/devices/${address}/vfio-dev`);
  const fd = p.open(`/dev/vfio/devices/${cdev!}`);
  const iommufd = p.open('/dev/iommu');
  const bind = vfio.vfio_device_bind_iommufd.view(new Uint8Array(24));
  bind.argsz = 24;
  bind.iommufd = iommufd;
  p.ioctl(fd, vfio.VFIO_DEVICE_BIND_IOMMUFD, bind);
  const ioas = iommu_ioas_alloc.view(new Uint8Array(12));
  ioas.size = 12;
  p.ioctl(iommufd, IOMMU_IOAS_ALLOC, ioas);
  const attach = vfio.vfio_device_attach_iommufd_pt.view(new Uint8Array(16));
  attach.argsz = 16;
  attach.pt_id = ioas.out_ioas_id;
  p.ioctl(fd, vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT, attach);
  const map = iommu_ioas_map.view(new Uint8Array(40));
  map.size = 40;
  map.flags = 0x7; // at this IOVA, writable, readable
  map.ioas_id = ioas.out_ioas_id;
  map.user_va = va;
  map.length = BigInt(size);
  map.iova = IOVA;
  p.ioctl(iommufd, IOMMU_IOAS_MAP, map);
  return fd;
}

/** Registers of edu and bits of its DMA command. */
const REG = { ack: 0x64, source: 0x80, destination: 0x88, count: 0x90, command: 0x98 };
const START = 1;
const TO_RAM = 2;
const INTERRUPT = 4;
const BUFFER = 0x4_0000n;

function copyOutAndBack(run: {
  program: Program;
  fd: number;
  memory: Uint8Array;
  print: Print;
}): void {
  const { program: p, fd, memory, print } = run;
  const bar = vfio.vfio_region_info.view(new Uint8Array(32));
  bar.argsz = 32;
  bar.index = vfio.VFIO_PCI_BAR0_REGION_INDEX;
  p.ioctl(fd, vfio.VFIO_DEVICE_GET_REGION_INFO, bar);
  const registers = p.mmapRegisters(fd, Number(bar.size), bar.offset);
  const done = interrupt(p, fd);
  setBusMaster(p, fd);

  const dma = (source: bigint, destination: bigint, command: number): void => {
    registers.store(REG.source, 8, source);
    registers.store(REG.destination, 8, destination);
    registers.store(REG.count, 8, MESSAGE.length);
    registers.store(REG.command, 4, command | START | INTERRUPT);
    p.waitEventfd(done);
    registers.store(REG.ack, 4, 0x100);
  };
  memory.set(new TextEncoder().encode(MESSAGE));
  dma(IOVA, BUFFER, 0);
  dma(BUFFER, IOVA + 0x2000n, TO_RAM);
  const back = new TextDecoder().decode(memory.subarray(0x2000, 0x2000 + MESSAGE.length));
  if (back !== MESSAGE) throw new Error(`DMA brought back '${back}'`);
  print(`DMA out and back: '${back}', each with an interrupt`);
  dma(BUFFER, UNMAPPED, TO_RAM);
}

/** MSI vector 0 to an eventfd. */
function interrupt(p: Program, fd: number): number {
  const done = p.eventfd();
  const bytes = new Uint8Array(24);
  const set = vfio.vfio_irq_set.view(bytes);
  set.argsz = 24;
  set.flags = vfio.VFIO_IRQ_SET_DATA_EVENTFD | vfio.VFIO_IRQ_SET_ACTION_TRIGGER;
  set.index = vfio.VFIO_PCI_MSI_IRQ_INDEX;
  set.count = 1;
  new DataView(bytes.buffer).setInt32(20, done, true);
  p.ioctl(fd, vfio.VFIO_DEVICE_SET_IRQS, bytes);
  return done;
}

/** A device opens with bus mastering off: without this every DMA is dropped. */
function setBusMaster(p: Program, fd: number): void {
  const config = vfio.vfio_region_info.view(new Uint8Array(32));
  config.argsz = 32;
  config.index = vfio.VFIO_PCI_CONFIG_REGION_INDEX;
  p.ioctl(fd, vfio.VFIO_DEVICE_GET_REGION_INFO, config);
  const command = p.read(fd, 2, config.offset + 4n);
  command[0]! |= 4;
  p.write(fd, command, config.offset + 4n);
}

runIfMain(import.meta.url, main);
