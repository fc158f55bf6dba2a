/** The power states a driver asks for: vfio_pci_set_power_state and what the kernel's PCI core makes of it. */
import { PCI_PM_CAP_D1, PCI_PM_CAP_D2, PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET, PCI_PM_PMC } from '../../abi/pci.js';
import { D0, D3hot, type PciFunction } from '../pci/function.js';
import { SavedState, setPowerState } from './reset.js';

export class PowerState {
  readonly #hardware: PciFunction;
  /** A function that has virtual ones stays awake. */
  readonly #staysAwake: () => boolean;
  #saved: SavedState | undefined;

  constructor(hardware: PciFunction, staysAwake: () => boolean) {
    this.#hardware = hardware;
    this.#staysAwake = staysAwake;
  }

  /** Its BARs answer. */
  get awake(): boolean {
    return this.#hardware.powerState < D3hot;
  }

  /** A state that it does not have, or that is not reached from where it is, changes nothing. */
  set(state: number): void {
    const hardware = this.#hardware;
    const at = hardware.powerManagementAt;
    const current = hardware.powerState;
    if (at === undefined || state === current || (state !== D0 && (state < current || this.#staysAwake()))) return;
    if (state !== D0 && state !== D3hot && !this.#supports(at, state)) return;
    const loses = (hardware.readConfig(at + PCI_PM_CTRL, 2) & PCI_PM_CTRL_NO_SOFT_RESET) === 0;
    if (state === D3hot && loses) this.#saved = new SavedState(hardware);
    if (state !== D0) return setPowerState(hardware, state);
    // The way up clears the rest of the register too.
    hardware.writeConfig(at + PCI_PM_CTRL, 2, 0);
    if (current === D3hot) this.#saved?.restore();
    this.#saved = undefined;
  }

  #supports(at: number, state: number): boolean {
    return (this.#hardware.readConfig(at + PCI_PM_PMC, 2) & (state === 1 ? PCI_PM_CAP_D1 : PCI_PM_CAP_D2)) !== 0;
  }
}
