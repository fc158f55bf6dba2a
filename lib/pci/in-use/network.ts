import { list, readLinkName, readTextIfAny, type WithFiles } from '../sysfs.js';
import type { Part } from './parts.js';
import type { Use } from './use.js';

const routesPath = '/proc/net/route';
const routes6Path = '/proc/net/ipv6_route';
const triePath = '/proc/net/fib_trie';
const addresses6Path = '/proc/net/if_inet6';

interface Route {
  readonly interface: string;
  /** 32 bits each. */
  readonly destination: number;
  readonly gateway: number;
  readonly mask: number;
}

interface Address {
  readonly interface: string;
  /** '10.0.0.2', or '2001:db8::1' */
  readonly text: string;
  readonly file: string;
  /** Every interface has one of its link, which nobody gave it. */
  readonly ofLink: boolean;
}

/** What network interfaces are used for. Read once, for all of them. */
export class NetworkUses {
  readonly #kernel: WithFiles;
  readonly #session: string | undefined;
  readonly #routes: readonly Route[];
  readonly #default6: ReadonlySet<string>;
  readonly #addresses: readonly Address[];

  /** `session`: the address of this machine that the user's connection came to. */
  constructor(kernel: WithFiles, session: string | undefined) {
    this.#kernel = kernel;
    this.#session = session === undefined ? undefined : canonical(session);
    this.#routes = rows(kernel, routesPath).slice(1).map(routeOf);
    this.#default6 = new Set(
      rows(kernel, routes6Path)
        .filter(isDefault6)
        .map((row) => row.at(-1) ?? ''),
    );
    this.#addresses = [...this.#addresses4(), ...rows(kernel, addresses6Path).map(address6)];
  }

  of(part: Part): Use[] {
    if (part.subsystem !== 'net') return [];
    return [...this.#sessionOf(part), ...this.#routesOf(part), ...this.#addressesOf(part), ...this.#uppersOf(part)];
  }

  #sessionOf({ name }: Part): Use[] {
    const address = this.#addresses.find((each) => each.interface === name && each.text === this.#session);
    if (address === undefined) return [];
    return [{ kind: 'session', says: `${name} carries your own connection`, evidence: [{ file: address.file, value: address.text }] }];
  }

  #routesOf({ name }: Part): Use[] {
    const by4 = this.#routes.some((route) => route.interface === name && route.destination === 0 && route.mask === 0);
    const files = [...(by4 ? [routesPath] : []), ...(this.#default6.has(name) ? [routes6Path] : [])];
    if (files.length === 0) return [];
    return [{ kind: 'route', says: `${name} carries the default route`, evidence: files.map((file) => ({ file, value: name })) }];
  }

  #addressesOf({ name }: Part): Use[] {
    return this.#addresses
      .filter((address) => address.interface === name && !address.ofLink)
      .map(({ text, file }) => ({ kind: 'address', says: `${name} has the address ${text}`, evidence: [{ file, value: text }] }));
  }

  /** Bonds, bridges, teams, VLANs: what is built on it. */
  #uppersOf({ name, path }: Part): Use[] {
    const master = readLinkName(this.#kernel, `${path}/master`);
    const uppers = list(this.#kernel, path).flatMap((entry) => (entry.startsWith('upper_') ? entry.slice('upper_'.length) : []));
    return [...new Set([...(master === undefined ? [] : [master]), ...uppers])].map((upper) => ({
      kind: 'member',
      says: `${upper} is built on ${name}`,
      evidence: [{ file: upper === master ? `${path}/master` : `${path}/upper_${upper}`, value: upper }],
    }));
  }

  /** The kernel lists addresses of version 4 without their interfaces: those are the ones that reach the networks they are of. */
  #addresses4(): Address[] {
    const trie = readTextIfAny(this.#kernel, triePath) ?? '';
    const own = new Set([...trie.matchAll(/\|-- ([\d.]+)\n\s*\/32 host LOCAL/g)].map(([, text = '']) => text));
    return [...own].flatMap((text) => {
      const value = text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
      const near = this.#routes.filter(
        ({ gateway, mask, destination }) => gateway === 0 && mask !== 0 && (value & mask) >>> 0 === destination,
      );
      return [...new Set(near.map((route) => route.interface))].map((name) => ({ interface: name, text, file: triePath, ofLink: false }));
    });
  }
}

function rows(kernel: WithFiles, path: string): string[][] {
  const lines = (readTextIfAny(kernel, path) ?? '').split('\n');
  return lines.filter((line) => line.trim() !== '').map((line) => line.trim().split(/\s+/));
}

/** 'eth0 00000000 0202000A 0003 0 0 0 00000000 …' */
function routeOf([name = '', destination = '', gateway = '', , , , , mask = '']: readonly string[]): Route {
  return { interface: name, destination: word(destination), gateway: word(gateway), mask: word(mask) };
}

/** The bytes in the order in which they are sent, printed as a number of a little-endian processor. */
function word(hex: string): number {
  const bytes = hex.match(/../g) ?? [];
  return bytes.reverse().reduce((sum, byte) => sum * 256 + parseInt(byte, 16), 0);
}

/** To everywhere, and not one that refuses: those are of the interface lo. */
function isDefault6(row: readonly string[]): boolean {
  return row[0] === '0'.repeat(32) && row[1] === '00' && row.at(-1) !== 'lo';
}

/** '20010db8000000000000000000000001 02 40 00 80 eth0' */
function address6([hex = '', , , scope = '', , name = '']: readonly string[]): Address {
  const text = canonical((hex.match(/.{4}/g) ?? []).join(':'));
  return { interface: name, text, file: addresses6Path, ofLink: scope === '20' };
}

/** One text for an address, however it is written. */
function canonical(text: string): string {
  const [plain = ''] = text.split('%');
  const url = `http://${plain.includes(':') ? `[${plain}]` : plain}`;
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : plain;
}
