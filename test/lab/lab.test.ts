/** The parts of the lab that need no guest; the guests themselves are exercised by `npm run test:lab`. */
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kernelCommandLine, kernelComplaints, timerLost } from '../../lib/lab/guest.js';
import { compareVersions, configFragment, enabledOptions, optionsHash, variantsOf } from '../../lib/lab/kernel-options.js';
import { deviceArguments, drivenIds, iommuMachines, iommuNames } from '../../lib/lab/machines.js';
import { missingPackages } from '../../lib/lab/requirements.js';
import { commandScript } from '../../lib/lab/shell.js';

describe('kernel options', () => {
  it('compares versions as versions', () => {
    expect(['6.12', '6.9', '7.3', '6.1', '7.10'].sort(compareVersions)).toEqual(['6.1', '6.9', '6.12', '7.3', '7.10']);
  });

  it('asks only newer kernels for what older ones lack', () => {
    expect(enabledOptions('6.12', 'default')).not.toContain('VFIO_PCI_DMABUF');
    expect(enabledOptions('7.3', 'default')).toContain('VFIO_PCI_DMABUF');
    expect(new Set(enabledOptions('7.3', 'default')).size).toBe(enabledOptions('7.3', 'default').length);
  });

  it('variants differ in who provides the container, and in their place in the cache', () => {
    expect(configFragment('7.3', 'default')).toContain('CONFIG_VFIO_CONTAINER=y\n');
    expect(configFragment('7.3', 'iommufd-container')).toMatch(
      /CONFIG_IOMMUFD_VFIO_CONTAINER=y\n(# .*\n)*# CONFIG_VFIO_CONTAINER is not set\n/,
    );
    expect(enabledOptions('7.3', 'iommufd-container')).not.toContain('VFIO_IOMMU_TYPE1');
    expect(new Set(variantsOf('7.3').map((variant) => optionsHash('7.3', variant))).size).toBe(2);
    expect(variantsOf('6.1')).toEqual(['default']);
  });
});

describe('machines', () => {
  it('each has a chipset, and only one has no IOMMU', () => {
    for (const name of iommuNames) expect([name, iommuMachines[name].qemu.join(' ').includes('iommu')]).toEqual([name, name !== 'none']);
  });

  it('devices are passed on, and an nvme gets a disk', () => {
    const disk = (name: string): string => `/tmp/a,b/${name}`;
    expect(deviceArguments(['edu', 'e1000e,netdev=n0'], disk)).toEqual(['-device', 'edu', '-device', 'e1000e,netdev=n0']);
    expect(deviceArguments(['nvme,serial=mine'], disk).join(' ')).toMatch(/-device nvme,serial=mine,drive=disk0$/);
    expect(deviceArguments(['e1000e,bus=left,hub=3,mac=2:0:0:0:0:1'], disk)).toEqual([
      ...['-netdev', 'hubport,id=port0,hubid=3', '-device', 'e1000e,bus=left,mac=2:0:0:0:0:1,netdev=port0'],
    ]);
    expect(deviceArguments(['nvme'], disk).join(' ')).toMatch(/^-drive .*id=disk0.*file=\/tmp\/a,,b\/disk0 -device nvme,drive=disk0/);
  });

  it('only devices that drivers are written for go to vfio-pci', () => {
    expect(drivenIds(['edu', 'pcie-pci-bridge,id=b', 'edu,bus=b', 'virtio-rng-pci', 'e1000e'])).toEqual(['0x1234:0x11e8', '0x8086:0x10d3']);
  });
});

it("the kernel's own drivers begin only where they are asked for", () => {
  const commandLine = (hostDrivers: boolean): string => kernelCommandLine({ iommu: 'intel', kernelArguments: ['quiet'], hostDrivers });
  expect(commandLine(false)).toMatch(/ initcall_blacklist=nvme_init,e1000_init_module intel_iommu=on quiet$/);
  expect(commandLine(true)).not.toContain('initcall_blacklist');
});

it('missing packages are named', () => {
  const requirements = [
    { file: 'flex', package: 'flex' },
    { file: '/usr/include/libelf.h', package: 'libelf-dev' },
    { file: 'sh', package: 'dash' },
  ];
  expect(missingPackages(requirements, (file) => file === 'sh')).toEqual(['flex', 'libelf-dev']);
});

describe('the command', () => {
  /** Where it was run, what X was there, and its arguments, as a shell's own printf has them. */
  const echo = (args: readonly string[], environment = {}): string[] => {
    const words = ['/bin/sh', '-c', String.raw`printf '%s\0' "$PWD" "$X" "$@"`, 'sh', ...args];
    const script = commandScript(words, '/tmp', environment);
    return execFileSync('/bin/sh', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1);
  };

  it('arrives as it was typed', () => {
    const nasty = ["it's", '"quoted"', '$HOME `id` \\', 'two\nlines', '', '-x', 'grüße', '*'];
    expect(echo(nasty, { X: nasty.join(), 'not-a-name': '1', Y: undefined })).toEqual(['/tmp', nasty.join(), ...nasty]);
  });

  it('whatever it holds', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0')),
          { maxLength: 4 },
        ),
        (args) => {
          expect(echo(args).slice(2)).toEqual(args);
        },
      ),
      { numRuns: 15 },
    );
  });
});

it('a kernel log is read for complaints', () => {
  expect(kernelComplaints('[1.0] kernel BUG at x.c:1!')).toHaveLength(1);
  expect(kernelComplaints('[1.0] vfio-pci 0000:00:03.0: enabling device')).toEqual([]);
  expect(kernelComplaints('[1.0] vfio-noiommu device opened\n[2.0] WARNING: CPU: 0 PID: 1 at x.c:1\n[2.1] Call Trace:')).toEqual([
    '[2.0] WARNING: CPU: 0 PID: 1 at x.c:1\n[2.1] Call Trace:',
  ]);
});

it('a guest whose processor has no timer any more is known by what its kernel says', () => {
  const said = "rcu: rcu_sched kthread timer wakeup didn't happen for 5251 jiffies! g9117 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x402";
  expect(timerLost(`[1.0] vfio-pci 0000:00:03.0: enabling device\n[96.859996] ${said}\n`)).toBe(true);
  expect(timerLost('[96.8] rcu: INFO: rcu_sched self-detected stall on CPU\n')).toBe(false);
});
