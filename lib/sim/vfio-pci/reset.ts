/** Resets as the kernel does them: what it and the driver configured is there again after each. */
import {
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_EXP_DEVCTL,
  PCI_EXP_LNKCTL,
  PCI_MSI_FLAGS,
  PCI_MSIX_FLAGS,
  PCI_PM_CTRL,
  PCI_PM_CTRL_STATE_MASK,
  PCI_STD_HEADER_SIZEOF,
} from '../../abi/pci.js';
import { D0, D3hot, type PciFunction } from '../pci/function.js';

/** What of a function's configuration the kernel keeps over a reset. */
export class SavedState {
  readonly #hardware: PciFunction;
  readonly #header: readonly number[];
  readonly #controls: ReadonlyMap<number, number>;
  readonly #table: readonly bigint[];

  constructor(hardware: PciFunction) {
    this.#hardware = hardware;
    this.#header = Array.from({ length: PCI_STD_HEADER_SIZEOF / 4 }, (_, index) => hardware.readConfig(4 * index, 4));
    const { expressAt, msi, msix } = hardware;
    const controls = [
      ...(expressAt === undefined ? [] : [expressAt + PCI_EXP_DEVCTL, expressAt + PCI_EXP_LNKCTL]),
      ...(msi === undefined ? [] : [msi.at + PCI_MSI_FLAGS]),
      ...(msix === undefined ? [] : [msix.at + PCI_MSIX_FLAGS]),
    ];
    this.#controls = new Map(controls.map((at) => [at, hardware.readConfig(at, 2)]));
    this.#table = dwordsOf(hardware).map(({ bar, at }) => hardware.busRead(bar, at, 4));
  }

  restore(): void {
    const hardware = this.#hardware;
    for (const [at, value] of this.#controls) hardware.writeConfig(at, 2, value);
    this.#header
      .map((value, index) => ({ value, at: 4 * index }))
      .reverse()
      .forEach(({ value, at }) => hardware.writeConfig(at, 4, value));
    dwordsOf(hardware).forEach(({ bar, at }, index) => hardware.busWrite(bar, at, 4, this.#table[index] ?? 0n));
  }
}

function dwordsOf({ msix }: PciFunction): { readonly bar: number; readonly at: number }[] {
  if (msix === undefined) return [];
  const { bar, start, end } = msix.table;
  return Array.from({ length: (end - start) / 4 }, (_, index) => ({ bar, at: start + 4 * index }));
}

/** pci_try_reset_function: by the function's own way. */
export function resetFunction(hardware: PciFunction): void {
  const saved = new SavedState(hardware);
  hardware.writeConfig(PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
  if (hardware.functionReset === 'power') {
    setPowerState(hardware, D3hot);
    setPowerState(hardware, D0);
  } else hardware.reset();
  saved.restore();
}

/** By the bus, or by the link, that leads to it. */
export function resetByBus(hardware: PciFunction): void {
  const saved = new SavedState(hardware);
  hardware.writeConfig(PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
  hardware.reset();
  saved.restore();
}

export function setPowerState(hardware: PciFunction, state: number): void {
  const at = hardware.powerManagementAt;
  if (at === undefined) return;
  const control = hardware.readConfig(at + PCI_PM_CTRL, 2);
  hardware.writeConfig(at + PCI_PM_CTRL, 2, (control & ~PCI_PM_CTRL_STATE_MASK) | state);
}
