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
  host: ['base', 'uapi', 'machine', 'insight'],
  facade: ['base', 'uapi', 'pt', 'core', 'machine', 'insight'],
  cli: ['base', 'machine', 'insight', 'host'],
};
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment:
        'Code never goes in a circle. Types may: a device knows its group and a group its devices, as in the kernel.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    ...Object.entries(layers).map(([layer, allowed]) => ({
      name: `layer-${layer}`,
      severity: 'error',
      from: { path: `^src/${layer}/`, pathNot: '\\.test\\.ts$' },
      to: { path: '^src/', pathNot: `^src/(${[layer, ...allowed].join('|')})/` },
    })),
    {
      name: 'node-only-at-the-edge',
      comment:
        'Only host and cli may use node: modules or packages; zod may check machine descriptions.',
      severity: 'error',
      from: { pathNot: ['^src/(host|cli)/', '\\.test\\.ts$'] },
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
