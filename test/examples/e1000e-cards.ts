/** Cards of the network card's example on a simulated machine. */
import { afterEach } from 'vitest';
import type { Card, CardOptions } from '../../examples/e1000e/card.js';
import { openCards, type Ports } from '../../examples/e1000e/ports.js';
import { E1000e, Machine, wire } from 'vfio/sim';

const closing: Ports[] = [];
afterEach(() => closing.splice(0).forEach((ports) => ports[Symbol.dispose]()));

export interface Cards extends Ports {
  readonly machine: Machine;
  readonly one: Card;
  readonly other: Card;
}

/** Drivers of these, closed after the test. */
export async function open(models: readonly E1000e[], options: CardOptions = {}): Promise<Cards> {
  const machine = new Machine({ devices: models.map((model) => ({ model })) });
  const addresses = models.map((_, index) => `0000:00:0${3 + index}.0`);
  const ports = await openCards(machine.kernel, addresses, { ringLength: 64, ...options });
  closing.push(ports);
  return { ...ports, machine, one: ports.cards[0]!, other: ports.cards[1]! };
}

/** '52:54:00:00:00:01' and so on. */
export function stationOf(index: number): string {
  return `52:54:00:00:00:0${index + 1}`;
}

/** Two with a cable between them. */
export function wiredModels(): readonly [E1000e, E1000e] {
  const models = [new E1000e({ station: stationOf(0) }), new E1000e({ station: stationOf(1) })] as const;
  wire(...models);
  return models;
}
