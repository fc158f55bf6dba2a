/** Which processes have nodes of VFIO open. */
import { openNodes, openNodesOf, processes, type OpenNode, type OpenNodes } from '../pci/open-nodes.js';
import type { PciDevice } from '../pci/topology.js';
import type { Checks } from './check.js';
import { CannotLook, type Found } from './finding.js';
import { line, type Scene } from './scene.js';

const looked = new WeakMap<Scene, OpenNodes>();

/** All that processes have open, this one too: what it forgot is in its own way. */
function allOpen(scene: Scene): OpenNodes {
  const known = looked.get(scene);
  if (known !== undefined) return known;
  const all = processes(scene.kernel);
  // `self` is a link to one of the others; where it is none, nothing more is known of the process.
  const open = openNodes(scene.kernel, scene.linkName('/proc/self') === undefined ? [...all, 'self'] : all);
  looked.set(scene, open);
  return open;
}

export function holdersOf(scene: Scene, device: PciDevice): readonly OpenNode[] {
  return openNodesOf(allOpen(scene), device);
}

function* holders(scene: Scene): Iterable<Found> {
  if (scene.asked === undefined && !scene.curious) return;
  for (const device of scene.vfioDevices) {
    const found = holdersOf(scene, device);
    if (found.length > 0)
      yield {
        severity: 'warning',
        device: device.address,
        evidence: found.flatMap(({ process, node, descriptor }) => [
          line(descriptor, node),
          line(`/proc/${process}/cmdline`, commandOf(scene, process)),
        ]),
        fix: [...new Set(found.map(({ process }) => fixOf(scene, process)))],
      };
    else if (allOpen(scene).partial) throw new CannotLook("needs root to look at other users' processes in /proc");
  }
}

function fixOf(scene: Scene, process: string): string {
  const own = process === 'self' || process === scene.linkName('/proc/self');
  return own ? '# This process has it: close what it opened before' : `sudo kill ${process}`;
}

function commandOf(scene: Scene, process: string): string | undefined {
  return scene.find(`/proc/${process}/cmdline`)?.replaceAll('\0', ' ').trim();
}

export const holderChecks = { holder: holders } satisfies Checks;
