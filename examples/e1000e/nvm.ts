/** The non-volatile memory beside the card: words of 16 bits, of which the first three are the station's address. */
import type { DeviceRegisters } from 'vfio/driver';
import { formatStation } from './addresses.js';
import type { layout } from './layout.js';

type Registers = DeviceRegisters<typeof layout>;

const wordMilliseconds = 100;
/** The words up to and with the checksum, and what they add up to. */
const summed = 64;
const sum = 0xbaba;

/** @throws CodedError ERR_VFIO_TIMEOUT where there is no memory */
export async function readNvm({ EERD }: Registers, word: number): Promise<number> {
  EERD.write({ START: 1, ADDR: word });
  await EERD.until({ DONE: 1 }, { timeoutMilliseconds: wordMilliseconds });
  return EERD.get('DATA');
}

/**
 * The station's address, '52:54:00:12:34:56', as the card took it from its memory at reset. Where it took none, it is read here,
 * and the card told: otherwise it would take no frame but those to all.
 * @throws Error when the memory's checksum is wrong, or when what it has is no station's address
 */
export async function stationOf(registers: Registers): Promise<string> {
  const { RAL, RAH } = registers;
  if (RAH.get('AV') === 0) {
    const [first, second, third] = await readStation(registers);
    RAL.write((first | (second << 16)) >>> 0);
    RAH.write({ AV: 1, ADDR: third });
  }
  return formatStation(new Uint8Array(Uint32Array.of(RAL.read(), RAH.read()).buffer, 0, 6));
}

async function readStation(registers: Registers): Promise<readonly [number, number, number]> {
  const words: number[] = [];
  for (let word = 0; word < summed; word += 1) words.push(await readNvm(registers, word));
  const found = words.reduce((total, word) => total + word, 0) & 0xffff;
  if (found !== sum) throw new Error(`The card's non-volatile memory adds up to 0x${found.toString(16)}, not to 0x${sum.toString(16)}`);
  const [first = 0, second = 0, third = 0] = words;
  const isGroup = (first & 1) !== 0;
  if (isGroup || (first | second | third) === 0) throw new Error("The card's non-volatile memory has no address of a station");
  return [first, second, third];
}
