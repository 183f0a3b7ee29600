/** Layers, lowest first. A file may import its own layer and the lower ones listed for it. */
const layers = {
  base: [],
  uapi: ['base'],
  pt: ['base'],
  core: ['base', 'pt'],
  pci: ['base', 'uapi'],
  devices: ['base', 'pci'],
  drivers: ['base', 'uapi', 'pt', 'core', 'pci'],
  iommufd: ['base', 'uapi', 'pt', 'core'],
  vfio: ['base', 'uapi', 'core', 'pci', 'iommufd'],
  machine: ['base', 'uapi', 'pt', 'core', 'pci', 'drivers', 'devices', 'iommufd', 'vfio'],
  insight: ['base', 'uapi', 'core', 'machine'],
  plugin: ['base', 'pt', 'core', 'devices', 'drivers', 'machine'],
  host: ['base', 'uapi', 'machine', 'insight', 'plugin'],
  facade: ['base', 'uapi', 'pt', 'core', 'machine', 'insight'],
  cli: ['base', 'machine', 'insight', 'plugin', 'host'],
  // Runs in a browser, from what a report holds.
  page: ['base', 'insight'],
};

/**
 * What the tests of a layer stand on from above it: doubles that are part of the product. Tests beside the sources
 * import their own layer, lower ones, and the rigs of these in testing/; tests of several layers live in test/.
 */
const doubles = {
  core: ['drivers/mock/'],
  iommufd: ['drivers/mock/', 'machine/kernel/selftest-hardware'],
};

/** Rooms of a layer, lowest first, as patterns below the layer's folder. A file may import its own room and lower ones. */
const rooms = {
  pt: [
    '(format|page-table|ram|gather|page-size)',
    'formats/',
    'engine/',
    'walk/',
    '(create|index)',
  ],
  core: ['contract/', 'attach/', 'map/', 'dma/', 'sva/', 'group/', 'probe/', 'aux/', '[^/]+$'],
  drivers: [
    '(pci-group|iommu-type|domain-ids)',
    'unit/',
    // Of each IOMMU: what both sides know, its hardware, its software, its type.
    '(?!unit/|mock/)[^/]+/(?!type)[^/]+$',
    '[^/]+/unit/',
    '[^/]+/driver/',
    '(?!mock/)[^/]+/type',
    // Shares objects with its hardware, and has no rooms.
    'mock/',
    'types',
    'index',
  ],
  devices: [
    // A type declares its registers.
    '(host-services|port|host-turns|unit/register)',
    'unit/(?!register)',
    'wires',
    // Of each device, or family of devices, whatever it has.
    '(?!unit/)[^/]+/',
    'index',
  ],
  iommufd: ['io-pagetable/', '(?!main\\.)[^/]+$', 'compat/', 'selftest/', 'main'],
  vfio: ['[^/]+$', 'type1/', 'migration/', 'pci/', 'mdev/'],
  machine: [
    'description/',
    'memory/',
    'hardware/',
    'kernel/',
    'files/',
    'program/',
    'machine',
    'create-machine',
    'wishes/',
  ],
  host: ['sys/', 'seccomp/', 'tree/', 'launch/', 'process/', 'stacks/', 'calls/', 'mmio/', 'loop/'],
  cli: [
    '(?!main\\.|command-line\\.)[^/]+$',
    'from/',
    // One file each; all of a run's stand together in run-reports.
    'reports/(?!run-reports\\.)',
    'explore/',
    'matrix/',
    'inspect/',
    'reports/run-reports\\.',
    'commands/',
    'command-line',
    'main',
  ],
};

/**
 * Files whose types know each other, as the kernel's headers do. Nothing else goes in a circle, types included.
 */
const headers = [
  // struct file and struct task
  'base/(file|task)\\.ts$',
  // linux/iommu.h: a device knows its group, a group its devices, both their domain and its driver
  'core/contract/(device|domain|driver|group|iommu-core|iopf-queue)\\.ts$',
];

const TESTS = '\\.test\\.ts$';

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'Code never goes in a circle.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-cycles-of-types',
      comment: 'Types go in a circle only among the headers listed above.',
      severity: 'error',
      from: { path: '^src/', pathNot: headers.map((file) => `^src/${file}`) },
      to: { circular: true },
    },
    ...Object.entries(layers).map(([layer, allowed]) => ({
      name: `layer-${layer}`,
      severity: 'error',
      from: { path: `^src/${layer}/`, pathNot: TESTS },
      to: { path: '^src/', pathNot: `^src/(${[layer, ...allowed].join('|')})/` },
    })),
    ...Object.entries(layers).map(([layer, allowed]) => ({
      name: `tests-of-${layer}`,
      comment: 'Tests and rigs stand on their own layer and on lower ones.',
      severity: 'error',
      from: { path: [`^src/${layer}/.*${TESTS}`, `^src/testing/${layer}/`] },
      to: {
        path: '^src/|^test/',
        pathNot: [
          `^src/(testing/)?(${[layer, ...allowed].join('|')})/`,
          ...(doubles[layer] ?? []).map((file) => `^src/${file}`),
        ],
      },
    })),
    ...Object.entries(rooms).flatMap(([layer, order]) =>
      order.slice(0, -1).map((room, n) => ({
        name: `room-${layer}-${n}`,
        comment: `Rooms of ${layer}, lowest first: ${order.join(' ')}`,
        severity: 'error',
        from: {
          path: `^src/${layer}/${room}`,
          pathNot: TESTS,
        },
        to: { path: order.slice(n + 1).map((higher) => `^src/${layer}/${higher}`) },
      })),
    ),
    {
      name: 'one-iommu-knows-no-other',
      comment: 'What two IOMMUs need is in drivers/unit/ or beside it.',
      severity: 'error',
      from: { path: '^src/drivers/([^/]+)/(?:unit/|driver/)', pathNot: TESTS },
      to: { path: '^src/drivers/[^/]+/', pathNot: '^src/drivers/(?:$1|unit)/' },
    },
    {
      name: 'one-device-knows-no-other',
      comment: 'What two devices need is in devices/unit/ or beside it.',
      severity: 'error',
      from: { path: '^src/devices/([^/]+)/', pathNot: TESTS },
      to: { path: '^src/devices/[^/]+/', pathNot: '^src/devices/(?:$1|unit)/' },
    },
    {
      name: 'node-only-at-the-edge',
      comment:
        'Only host and cli may use node: modules or packages; zod may check machine descriptions.',
      severity: 'error',
      from: { pathNot: ['^src/(host|cli)/', TESTS] },
      to: { dependencyTypes: ['core', 'npm', 'npm-optional'], pathNot: 'node_modules/zod/' },
    },
    {
      name: 'one-door-to-native-code',
      severity: 'error',
      from: { pathNot: '^src/host/sys/ffi\\.ts$' },
      to: { path: 'node_modules/koffi/' },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
  },
};
