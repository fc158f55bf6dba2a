import { decodeConfigSpace, type ConfigSpace } from '../../pci/config-space/config-space.js';
import { readConfigFile } from '../../pci/config-file.js';
import { readOverride } from '../../pci/driver.js';
import { groupMates, type GroupMate } from '../../pci/group-reasons.js';
import { physicalFunctionOf, placeOf } from '../../pci/place.js';
import { judgeReadiness, type Readiness } from '../../pci/readiness.js';
import { resetMethods } from '../../pci/reset-methods.js';
import { readResources, type PciResource } from '../../pci/resources.js';
import { list, readLinkName, readText, readTextIfAny, type WithFiles } from '../../pci/sysfs.js';
import { devicesPath, findDevice, type PciDevice } from '../../pci/topology.js';
import { modulesFor } from './modules.js';
import { readRom, type Rom } from './rom.js';

/** What sysfs says of a device; what it does not say is undefined. */
export interface Facts extends PciDevice {
  readonly revision: number;
  readonly subsystemVendor: number;
  readonly subsystemDevice: number;
  readonly readiness: Readiness;
  /** The driver that alone may take it. */
  readonly override: string | undefined;
  /** Kernel modules that say they can drive it. */
  readonly modules: readonly string[];
  readonly numaNode: number | undefined;
  /** 'pci0000:00', bridges, the device. */
  readonly place: readonly string[];
  readonly groupMates: readonly GroupMate[];
  /** 'D0' */
  readonly powerState: string | undefined;
  /** In the order in which they are tried. */
  readonly resetMethods: readonly string[];
  readonly link: Link | undefined;
  readonly virtualFunctions: VirtualFunctions | undefined;
  readonly physicalFunction: string | undefined;
  readonly resources: readonly PciResource[];
  readonly rom: Rom | undefined;
  /** The line interrupt's number, 0 for none. */
  readonly irq: number;
  readonly messageInterrupts: readonly { readonly irq: number; readonly kind: string }[];
  readonly config: ConfigSpace;
}

/** A link of PCI Express, as it is and as it could be: '2.5 GT/s PCIe', and lanes. */
export interface Link {
  readonly speed: string;
  readonly width: number;
  readonly maximumSpeed: string;
  readonly maximumWidth: number;
}

export interface VirtualFunctions {
  readonly count: number;
  readonly most: number;
  readonly addresses: readonly string[];
}

/** @throws KernelError ENOENT where there is no such device. */
export function readFacts(kernel: WithFiles, wanted: string): Facts {
  const device = findDevice(kernel, wanted);
  const { address, group } = device;
  const folder = `${devicesPath}/${address}`;
  const text = (file: string): string | undefined => readTextIfAny(kernel, `${folder}/${file}`);
  const node = Number(text('numa_node') ?? -1);
  return {
    ...device,
    revision: Number(text('revision') ?? 0),
    subsystemVendor: Number(text('subsystem_vendor') ?? 0),
    subsystemDevice: Number(text('subsystem_device') ?? 0),
    readiness: judgeReadiness(kernel, [device]).get(address)!,
    override: readOverride(kernel, address),
    modules: modulesFor(kernel, text('modalias') ?? ''),
    numaNode: node < 0 ? undefined : node,
    place: placeOf(kernel, address),
    groupMates: group === undefined ? [] : groupMates(kernel, address, group),
    powerState: text('power_state'),
    resetMethods: resetMethods(kernel, address),
    link: linkOf(text),
    virtualFunctions: virtualFunctionsOf(kernel, folder),
    physicalFunction: physicalFunctionOf(kernel, address),
    resources: readResources(kernel, address),
    rom: readRom(kernel, folder),
    irq: Number(text('irq') ?? 0),
    messageInterrupts: list(kernel, `${folder}/msi_irqs`)
      .map((irq) => ({ irq: Number(irq), kind: readText(kernel, `${folder}/msi_irqs/${irq}`) }))
      .sort((a, b) => a.irq - b.irq),
    config: decodeConfigSpace(readConfigFile(kernel, address)),
  };
}

/** Where the link is not known, the kernel says 'Unknown' and lanes that no link has. */
function linkOf(text: (file: string) => string | undefined): Link | undefined {
  const [speed, maximumSpeed] = [text('current_link_speed'), text('max_link_speed')];
  if (speed === undefined || maximumSpeed === undefined || maximumSpeed.startsWith('Unknown')) return undefined;
  return { speed, width: Number(text('current_link_width')), maximumSpeed, maximumWidth: Number(text('max_link_width')) };
}

function virtualFunctionsOf(kernel: WithFiles, folder: string): VirtualFunctions | undefined {
  const most = readTextIfAny(kernel, `${folder}/sriov_totalvfs`);
  if (most === undefined) return undefined;
  const count = Number(readTextIfAny(kernel, `${folder}/sriov_numvfs`) ?? 0);
  const addresses = Array.from({ length: count }, (_, index) => readLinkName(kernel, `${folder}/virtfn${index}`));
  return { count, most: Number(most), addresses: addresses.filter((address) => address !== undefined) };
}
