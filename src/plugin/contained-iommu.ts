/**
 * IOMMUs of a plugin, with their exceptions caught where the bus meets them: an access is blocked, as by a fault, and the
 * plugin is named. What its driver throws in a call of the kernel ends that call, as any Bug does.
 */
import { unanswered, type RemappingUnit } from '../core/contract/remapping-unit.ts';
import type { Iommu, IommuType } from '../drivers/iommu-type.ts';
import { catchingOf, orPluginError, type Catching, type Tell } from './contained.ts';

/** The type, whose units throw nothing; one that cannot be made throws PluginError. */
export function containedIommu(type: IommuType, plugin: string, tell: Tell): IommuType {
  const who = `plugin ${plugin}: ${type.type}`;
  const named = <T>(call: string, run: () => T): T => orPluginError(`${who}.${call}`, run);
  const catching = catchingOf(who, tell);
  return {
    ...type,
    createDriver(world) {
      const driver = named('createDriver', () => type.createDriver(world));
      return {
        create(place, options) {
          const made = named('create', () => driver.create(place, options));
          return 'unit' in made ? withUnit(made, catching) : made;
        },
      };
    },
  };
}

/** Everything else of it as it is, its prototype and what it changes included. */
function withUnit(made: Iommu, catching: Catching): Iommu {
  const { unit } = made;
  const contained: RemappingUnit = {
    get name() {
      return unit.name;
    },
    get granuleLg2() {
      return unit.granuleLg2;
    },
    get messages() {
      return unit.messages;
    },
    translate: (requesterId, pasid, iovaG, write) =>
      catching('translate', () => unit.translate(requesterId, pasid, iovaG, write), -1),
    request: (request) => catching('request', () => unit.request(request), unanswered('aborted')),
    message: (requesterId, message) =>
      catching('message', () => unit.message(requesterId, message), undefined),
    requestPage: (request, respond) =>
      catching('requestPage', () => unit.requestPage(request, respond), false),
    explain: (requesterId, pasid, iova, write) =>
      catching('explain', () => unit.explain(requesterId, pasid, iova, write), {
        tables: [],
        walk: [],
        refused: 'the plugin failed',
      }),
  };
  return { ...made, unit: contained };
}
