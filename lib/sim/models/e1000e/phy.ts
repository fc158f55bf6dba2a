/** The card's PHY: the chip at the cable, whose registers of 16 bits are reached through MDIC. */
const pages = 7;
const pageSize = 32;
const pageRegister = 0x16;
const oemBits = 0x19;
const [control, status, partner] = [0, 1, 5];

const restartsNegotiation = 1 << 9;
const negotiates = 1 << 12;
const resets = 1 << 15;
const loopback = 1 << 14;
const linkUp = 1 << 2;
const negotiated = 1 << 5;
const acknowledged = 1 << 14;
const oemRestartsNegotiation = 1 << 10;

type Access = 'read' | 'both';

/** Registers that are the same on every page. */
const everywhere: Readonly<Record<number, Access>> = {
  ...{ 0: 'both', 1: 'read', 2: 'read', 3: 'read', 4: 'both', 5: 'read', 6: 'read', 7: 'both', 8: 'read', 9: 'both' },
  ...{ 10: 'read', 15: 'read', [pageRegister]: 'both' },
};

/** Those of one page. */
const onPage: readonly Readonly<Record<number, Access>>[] = [
  {
    ...{ 0x10: 'both', 0x11: 'read', 0x12: 'both', 0x13: 'read', 0x14: 'both', 0x15: 'read', [oemBits]: 'both' },
    ...{ 0x1a: 'both', 0x1d: 'both', 0x1e: 'both' },
  },
  {},
  { 0x10: 'both', 0x12: 'both', 0x13: 'read', 0x15: 'both' },
  { 0x10: 'both', 0x11: 'both', 0x12: 'both', 0x13: 'both' },
  {},
  { 0x14: 'read', 0x15: 'read' },
  { 0x11: 'read' },
];

const initial: readonly (readonly [page: number, register: number, value: number])[] = [
  [0, control, 0x1140],
  [0, status, 0x794d],
  [0, 2, 0x141],
  [0, 3, 0xcb1],
  [0, 4, 0xde1],
  [0, partner, 0x7e0],
  [0, 6, 1 << 2],
  [0, 7, (1 << 0) | (1 << 13)],
  [0, 9, 0xf00],
  [0, 10, 0x3c00],
  [0, 15, 0x3000],
  [0, 0x10, 0x3360],
  [0, 0x11, 0xac08],
  [2, 0x10, 0x88],
  [2, 0x15, 0x1046],
  [3, 0x12, 0x4005],
];

export class Phy {
  readonly #registers = new Uint16Array(pages * pageSize);
  readonly #renegotiate: () => void;

  /** `renegotiate`: the driver had the link made anew, which takes a while. */
  constructor(renegotiate: () => void) {
    this.#renegotiate = renegotiate;
    this.reset();
  }

  reset(): void {
    this.#registers.fill(0);
    for (const [page, register, value] of initial) this.#registers[page * pageSize + register] = value;
  }

  /** A register's value, or undefined: there is none to be read. */
  read(register: number): number | undefined {
    const place = this.#find(register);
    return place && this.#registers[place.at];
  }

  /** False: there is none to be written. */
  write(register: number, value: number): boolean {
    const place = this.#find(register);
    if (place?.access !== 'both') return false;
    if (place.at === control) this.#control(value);
    else if (place.at === oemBits) {
      this.#registers[oemBits] = value & ~oemRestartsNegotiation;
      if ((value & oemRestartsNegotiation) !== 0) this.#renegotiate();
    } else this.#registers[place.at] = place.at === pageRegister ? value & 0x7f : value;
    return true;
  }

  get loops(): boolean {
    return (this.#get(control) & loopback) !== 0;
  }

  get negotiates(): boolean {
    return (this.#get(control) & negotiates) !== 0;
  }

  linkIsUp(afterNegotiation: boolean): void {
    this.#registers[status] = this.#get(status) | linkUp | (afterNegotiation ? negotiated : 0);
    if (afterNegotiation) this.#registers[partner] = this.#get(partner) | acknowledged;
  }

  linkIsDown(): void {
    this.#registers[status] = this.#get(status) & ~(linkUp | negotiated);
    this.#registers[partner] = this.#get(partner) & ~acknowledged;
  }

  #get(register: number): number {
    return this.#registers[register] ?? 0;
  }

  #control(value: number): void {
    this.#registers[control] = value & ~(0x3f | resets | restartsNegotiation);
    if ((value & restartsNegotiation) !== 0 && this.negotiates) this.#renegotiate();
  }

  #find(register: number): { readonly at: number; readonly access: Access } | undefined {
    const access = everywhere[register];
    if (access !== undefined) return { at: register, access };
    const page = this.#get(pageRegister);
    const own = onPage[page]?.[register];
    return own && { at: page * pageSize + register, access: own };
  }
}
