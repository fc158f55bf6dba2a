/** The devices of a machine whose kernel has drivers of its own for them. */
import { existsSync, readdirSync } from 'node:fs';
import { bindDriver, type Binding } from 'vfio/pci';
import { findDevices, native } from 'vfio';
import { pollUntil } from 'vfio/driver';

/** Addresses of all devices of a vendor and kind, in order. */
export function addressesOf(vendor: number, device: number): string[] {
  return findDevices(native(), { vendor, device })
    .map(({ address }) => address)
    .sort();
}

/** Gives a device to the kernel's own driver, and waits for what that makes of it: '/dev/nvme0n1', or 'eth0'. */
export async function withKernelDriver<T>(
  address: string,
  { driver, find }: { readonly driver: string; readonly find: (device: string) => string | undefined },
  use: (name: string) => T | Promise<T>,
): Promise<T> {
  using _binding: Binding = bindDriver(native(), address, driver);
  const name = await pollUntil(() => find(`/sys/bus/pci/devices/${address}`), {
    what: `what ${driver} makes of ${address}`,
    timeoutMilliseconds: 10_000,
  });
  return await use(name);
}

/** The first entry of a folder that may not be there yet. */
export function firstOf(folder: string, pattern = /./): string | undefined {
  return existsSync(folder) ? readdirSync(folder).find((name) => pattern.test(name)) : undefined;
}
