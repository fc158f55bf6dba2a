import { capability, type Declaration } from './declaration.js';
import {
  advancedErrors,
  dataLinkFeature,
  dataObjectExchange,
  laneMargining,
  physicalLayer16,
  portContainment,
  precisionTime,
  secondaryExpress,
} from './errors.js';
import { express } from './express.js';
import { debugPort, msi, msix } from './interrupts.js';
import { agp, hyperTransport, pcix } from './legacy.js';
import { dynamicPowerAllocation, l1Substates, latencyTolerance, powerBudgeting, powerManagement } from './power.js';
import * as services from './services.js';
import * as vendor from './vendor.js';
import { eventCollector, multiFunctionChannel, rootComplexLink, virtualChannel, virtualChannel9 } from './virtual-channel.js';

/** What is known by name only. */
const named = (names: Readonly<Record<number, string>>): Declaration[] =>
  Object.entries(names).map(([id, name]) => capability(Number(id), name, {}));

const byId = (declarations: readonly Declaration[]): ReadonlyMap<number, Declaration> =>
  new Map(declarations.map((each) => [each.id, each]));

/** What is known of capabilities, by id. */
export const capabilities = byId([
  ...named({ 0x00: 'Null', 0x06: 'CompactPCI hot-swap', 0x0b: 'CompactPCI central resource control', 0x0c: 'Hot-plug capable' }),
  ...named({ 0x0e: 'AGP3', 0x0f: 'Secure device', 0x14: 'Enhanced Allocation' }),
  ...[powerManagement, agp, vendor.vitalProductData, vendor.slotId, msi, pcix, hyperTransport, vendor.vendorSpecific, debugPort],
  ...[vendor.subsystem, express, msix, vendor.sata, vendor.advancedFeatures],
]);

export const extendedCapabilities = byId([
  ...named({
    0x00: 'Null',
    0x06: 'Root Complex Internal Link',
    0x0a: 'Root Complex Register Block',
    0x11: 'Multi-Root I/O Virtualization',
  }),
  ...named({ 0x1a: 'Protocol Multiplexing', 0x1c: 'LN Requester', 0x20: 'PCI Express over M_PHY', 0x21: 'FRS Queueing' }),
  ...named({ 0x22: 'Readiness Time Reporting', 0x28: 'Hierarchy ID', 0x29: 'Native PCIe Enclosure Management' }),
  ...[advancedErrors, virtualChannel, services.serialNumber, powerBudgeting, rootComplexLink, eventCollector, multiFunctionChannel],
  ...[virtualChannel9, vendor.vendorSpecificExtended, services.accessControl, services.alternativeRouting, services.addressTranslation],
  ...[services.virtualization, services.multicast, services.pageRequests, services.resizableBars, dynamicPowerAllocation],
  ...[
    services.processingHints,
    latencyTolerance,
    secondaryExpress,
    services.processAddressSpace,
    portContainment,
    l1Substates,
    precisionTime,
  ],
  ...[vendor.designatedVendorSpecific, services.virtualResizableBars, dataLinkFeature, physicalLayer16, laneMargining, dataObjectExchange],
]);
