/** Mediated devices: how they come and go, what they say of themselves, and type1 without an IOMMU. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Request } from '../../lib/abi/ioctl.js';
import { VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR } from '../../lib/abi/vfio/container.js';
import { VFIO_DEVICE_GET_INFO, vfio_device_info } from '../../lib/abi/vfio/device.js';
import { VFIO_GROUP_GET_STATUS, VFIO_GROUP_UNSET_CONTAINER, vfio_group_status } from '../../lib/abi/vfio/group.js';
import { VFIO_DEVICE_GET_IRQ_INFO, vfio_irq_info } from '../../lib/abi/vfio/irq.js';
import { VFIO_DEVICE_GET_REGION_INFO, vfio_region_info } from '../../lib/abi/vfio/region.js';
import {
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
} from '../../lib/abi/vfio/type1.js';
import { createMediatedDevice, mediatedTypes } from '../../lib/pci/mediated.js';
import { Container } from '../../lib/vfio/container.js';
import { expectGolden } from '../support/golden.js';
import { MediatedDevices } from '../support/mediated.js';
import { answer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

export function mediated(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let devices: MediatedDevices;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    devices = new MediatedDevices(subject.kernel);
  });
  afterEach(() => {
    seam.closeAll();
    devices.removeAll();
  });

  const read = (path: string): string => {
    const bytes = subject.kernel.files.readFile(path);
    return typeof bytes === 'number' ? answer(bytes) : new TextDecoder().decode(bytes);
  };
  const exists = (path: string): boolean => subject.kernel.files.access(path) >= 0;
  const available = (type: string): string => read(`${MediatedDevices.path(type)}/available_instances`).trim();
  const hex = (value: bigint): string => `0x${value.toString(16)}`;

  describe('files', () => {
    it('each type of each parent says what it is', () => {
      const types = ['mtty-1', 'mtty-2', 'mdpy-hd', 'mdpy-vga', 'mdpy-xga', 'mbochs-small', 'mbochs-medium', 'mbochs-large'];
      const lines = types.flatMap((type) =>
        ['name', 'description', 'device_api', 'available_instances', 'create'].map(
          (file) => `${type} ${file}: ${read(`${MediatedDevices.path(type)}/${file}`).trim()}`,
        ),
      );
      expectGolden(variant, subject, 'mediated-types', lines);
      expect(subject.kernel.files.readlink('/sys/class/mdev_bus/mtty')).toBe('../../devices/virtual/mtty/mtty');
    });

    it('a device has its folder, and links from where it is looked for', () => {
      const { address, group } = devices.make('mtty-2');
      const { files } = subject.kernel;
      const folder = `${MediatedDevices.path('mtty')}/${address}`;
      expect(files.readlink(`/sys/bus/mdev/devices/${address}`)).toBe(`../../../devices/virtual/mtty/mtty/${address}`);
      expect(files.readlink(`/sys/bus/mdev/drivers/mtty/${address}`)).toBe(`../../../../devices/virtual/mtty/mtty/${address}`);
      expect(files.readlink(`${MediatedDevices.path('mtty-2')}/devices/${address}`)).toBe(`../../../${address}`);
      expect(exists(`/sys/bus/mdev/drivers/mdpy/${address}`)).toBe(false);
      expect(exists(`${MediatedDevices.path('mtty-1')}/devices/${address}`)).toBe(false);
      expect(exists(`${MediatedDevices.path('mdpy')}/${address}`)).toBe(false);
      expect(files.readdir(`${folder}/vfio-dev`)).toEqual([expect.stringMatching(/^vfio\d+$/)]);
      expect(files.readlink(`${folder}/mdev_type`)).toBe('../mdev_supported_types/mtty-2');
      expect(files.readlink(`${folder}/driver`)).toBe('../../../../../bus/mdev/drivers/mtty');
      expect(files.readlink(`${folder}/subsystem`)).toBe('../../../../../bus/mdev');
      expect(files.readlink(`${folder}/iommu_group`)).toBe(`../../../../../kernel/iommu_groups/${group}`);
      expect(read(`${folder}/vendor/sample_mdev_dev`)).toBe(`This is MDEV ${address}\n`);
      expect(files.readdir(`/sys/kernel/iommu_groups/${group}/devices`)).toEqual([address]);
      expect(files.readlink(`/sys/kernel/iommu_groups/${group}/devices/${address}`)).toBe(
        `../../../../devices/virtual/mtty/mtty/${address}`,
      );
      expect([read(`/sys/kernel/iommu_groups/${group}/type`), read(`/sys/kernel/iommu_groups/${group}/reserved_regions`)]).toEqual([
        'unknown\n',
        '',
      ]);
      expect(exists(`/dev/vfio/${group}`)).toBe(true);
      expect(read(`${folder}/remove`)).toBe('EACCES');
    });

    it('a display says its resolution', () => {
      const { address } = devices.make('mdpy-xga');
      expect(read(`/sys/bus/mdev/devices/${address}/vendor/resolution`)).toBe('1024x768\n');
    });

    it('create takes a UUID, with one more character at most', () => {
      const uuid = devices.uuid();
      for (const text of [uuid.slice(0, 35), `${uuid}\n\n`, `g${uuid.slice(1)}`, uuid.replaceAll('-', '+'), ` ${uuid.slice(1)}`])
        expect([text, devices.tryMake('mtty-1', text)]).toEqual([text, 'EINVAL']);
      expect(subject.kernel.files.writeFile(`${MediatedDevices.path('mtty-1')}/create`, new Uint8Array())).toBe(0);
      expect(devices.tryMake('mtty-1', `${uuid}\n`)).toBe('37');
      expect(devices.tryMake('mtty-1', `${devices.uuid().toUpperCase()}x`)).toBe('37');
    });

    it('a UUID is one device, of whatever parent and in whatever letters', () => {
      const { address } = devices.make('mtty-1');
      expect(devices.tryMake('mtty-1', address)).toBe('EEXIST');
      expect(devices.tryMake('mtty-2', address.toUpperCase())).toBe('EEXIST');
      expect(devices.tryMake('mdpy-hd', address)).toBe('EEXIST');
    });

    it('mtty has 24 ports to give: then ENOSPC', () => {
      expect([available('mtty-1'), available('mtty-2')]).toEqual(['24', '12']);
      for (let i = 0; i < 11; i += 1) devices.make('mtty-2');
      const { address } = devices.make('mtty-1');
      expect([available('mtty-1'), available('mtty-2')]).toEqual(['1', '0']);
      expect(devices.tryMake('mtty-2', devices.uuid())).toBe('ENOSPC');
      expect(devices.tryMake('mtty-2', address)).toBe('EEXIST');
      devices.make('mtty-1');
      expect(devices.tryMake('mtty-1', devices.uuid())).toBe('ENOSPC');
      expect(devices.remove(address)).toBe('1');
      expect([available('mtty-1'), available('mtty-2')]).toEqual(['1', '0']);
    });

    it('mdpy has four devices to give, of all its types: then EUSERS', () => {
      for (const type of ['mdpy-vga', 'mdpy-xga', 'mdpy-hd', 'mdpy-vga']) devices.make(type);
      expect(available('mdpy-hd')).toBe('0');
      expect(devices.tryMake('mdpy-vga', devices.uuid())).toBe('EUSERS');
    });

    it('mbochs has 256 megabytes to give: then ENOSPC', () => {
      for (const type of ['mbochs-large', 'mbochs-large', 'mbochs-large', 'mbochs-medium']) devices.make(type);
      expect(['mbochs-small', 'mbochs-medium', 'mbochs-large'].map(available)).toEqual(['12', '3', '0']);
      expect(devices.tryMake('mbochs-large', devices.uuid())).toBe('ENOSPC');
      expect(read(`/sys/bus/mdev/devices/${devices.make('mbochs-small').address}/vendor/memory`)).toBe('4 MB\n');
    });

    it('remove takes a number, and nothing happens for 0', () => {
      const { address, group } = devices.make('mtty-1');
      for (const text of ['x', '\n', '-1', '1 ', '1\n\n', '08', '0x', '18446744073709551616'])
        expect([text, devices.remove(address, text)]).toEqual([text, 'EINVAL']);
      expect(['0', '0x0', '00\n'].map((text) => devices.remove(address, text))).toEqual(['1', '3', '3']);
      expect(exists(`/sys/bus/mdev/devices/${address}`)).toBe(true);
      expect(devices.remove(address, '+0x10\n')).toBe('6');
      expect(exists(`/sys/bus/mdev/devices/${address}`)).toBe(false);
      expect(exists(`/dev/vfio/${group}`)).toBe(false);
      expect(exists(`/sys/kernel/iommu_groups/${group}`)).toBe(false);
      expect(devices.remove(address)).toBe('ENOENT');
    });

    it('a group takes the lowest number that is free', () => {
      const [first, second] = [devices.make('mtty-1'), devices.make('mdpy-vga')];
      expect(second.group).toBe(first.group + 1);
      devices.remove(first.address);
      expect(devices.make('mtty-1').group).toBe(first.group);
    });
  });

  describe('library', () => {
    it('lists types, makes a device, opens it and removes it', () => {
      const { kernel } = subject;
      expect(mediatedTypes(kernel).filter(({ parent }) => parent === 'mtty')).toEqual([
        { parent: 'mtty', type: 'mtty-1', name: 'Single port serial', deviceApi: 'vfio-pci', available: 24, description: undefined },
        { parent: 'mtty', type: 'mtty-2', name: 'Dual port serial', deviceApi: 'vfio-pci', available: 12, description: undefined },
      ]);
      using made = createMediatedDevice(kernel, { parent: 'mtty', type: 'mtty-1' });
      using container = Container.open(kernel);
      const group = container.openGroup(made.group);
      container.setIommu();
      const device = group.openDevice(made.uuid);
      expect(device.config.read16(0)).toBe(0x4348);
      expect(device.info.isPci).toBe(true);
      container.close();
      made.remove();
      made.remove();
      expect(exists(`/sys/bus/mdev/devices/${made.uuid}`)).toBe(false);
    });

    it('says what is wrong', () => {
      const { kernel } = subject;
      const make = (parent: string, type: string, uuid?: string): string => {
        try {
          devices.remove(createMediatedDevice(kernel, { parent, type, ...(uuid !== undefined && { uuid }) }).uuid);
          return 'made';
        } catch (error) {
          return `${(error as { code?: string }).code ?? (error as Error).name}`;
        }
      };
      expect(make('mtty', 'mtty-9', 'no uuid')).toBe('RangeError');
      expect(make('mtty', 'mtty-9')).toBe('ERR_VFIO_NO_MEDIATED_TYPE');
      expect(make('nobody', 'mtty-1')).toBe('ERR_VFIO_NO_MEDIATED_TYPE');
      expect(make('mtty', 'mtty-1', devices.make('mtty-1').address.toUpperCase())).toBe('ERR_VFIO_MEDIATED_EXISTS');
      for (let i = 0; i < 4; i += 1) devices.make('mdpy-vga');
      expect(make('mdpy', 'mdpy-hd')).toBe('ERR_VFIO_NO_MEDIATED_INSTANCE');
      expect(make('mtty', 'mtty-2')).toBe('made');
    });
  });

  describe('life', () => {
    it('group, container and device are as those of other devices', () => {
      const place = devices.make('mtty-1');
      const { container, group, device } = seam.ready(place);
      expect(answer(seam.group(place))).toBe('EBUSY');
      expect(answer(seam.device(group, subject.edu.address))).toBe('ENODEV');
      expect(answer(seam.device(group, place.address.toUpperCase()))).toBe('ENODEV');
      expect(answer(subject.kernel.ioctl(group, VFIO_GROUP_UNSET_CONTAINER.number))).toBe('EBUSY');
      seam.close(container);
      seam.close(group);
      expect(subject.kernel.pread(device, new Uint8Array(2), 7 * 2 ** 40)).toBe(2);
      seam.close(device);
      expect(seam.ready(place).device).toBeGreaterThanOrEqual(0);
    });

    it.each([
      ['mtty-1', 9],
      ['mdpy-vga', 9],
      ['mbochs-small', 10],
    ] as const)('%s looks at pointer, size and index of what it is asked', (type, noRegion) => {
      const { device } = seam.ready(devices.make(type));
      const ask = (request: Request, argument?: Uint8Array): string => answer(subject.kernel.ioctl(device, request.number, argument));
      for (const [request, struct, none] of [
        [VFIO_DEVICE_GET_INFO, vfio_device_info, undefined],
        [VFIO_DEVICE_GET_REGION_INFO, vfio_region_info, noRegion],
        [VFIO_DEVICE_GET_IRQ_INFO, vfio_irq_info, 5],
      ] as const) {
        const sized = (argsz: number, index = 0): Uint8Array => Object.assign(struct.create(), { argsz, index }).bytes;
        expect([request.name, ask(request), ask(request, sized(request.minimum - 1)), ask(request, sized(request.minimum))]).toEqual([
          request.name,
          'EFAULT',
          'EINVAL',
          '0',
        ]);
        if (none !== undefined) expect([request.name, ask(request, sized(struct.size, none))]).toEqual([request.name, 'EINVAL']);
      }
    });

    it.each(['mtty-1', 'mdpy-vga', 'mbochs-small'])('%s knows no other requests', (type) => {
      const { device } = seam.ready(devices.make(type));
      expect([0x3b00, 0x3b7f].map((request) => answer(subject.kernel.ioctl(device, request)))).toEqual(['ENOTTY', 'ENOTTY']);
    });

    it('one that goes while its group is open leaves a file that leads nowhere', () => {
      const place = devices.make('mtty-1');
      const { container, group, device } = seam.ready(place);
      seam.close(device);
      expect(devices.remove(place.address)).toBe('1');
      const status = vfio_group_status.create();
      status.argsz = vfio_group_status.size;
      expect(answer(subject.kernel.ioctl(group, VFIO_GROUP_GET_STATUS.number, status.bytes))).toBe('ENODEV');
      expect(answer(seam.setContainer(group, container))).toBe('ENODEV');
      expect(answer(subject.kernel.ioctl(group, VFIO_GROUP_UNSET_CONTAINER.number))).toBe('EINVAL');
      expect(answer(seam.device(group, place.address))).toBe('ENODEV');
      expect(answer(seam.setIommu(container))).toBe('EINVAL');
      expect(answer(seam.group(place))).toBe('ENOENT');
    });
  });

  it.each([
    'mtty-1',
    'mtty-2',
    'mdpy-vga',
    'mdpy-xga',
    'mdpy-hd',
    'mbochs-small',
    'mbochs-medium',
    'mbochs-large',
  ])('what a %s says of itself is as recorded', (type) => {
    const { device: fd } = seam.ready(devices.make(type));
    const { kernel } = subject;
    const lines: string[] = [];
    const irqs = (when: string): void => {
      for (let index = 0; index <= 5; index += 1) {
        const irq = vfio_irq_info.create();
        Object.assign(irq, { argsz: vfio_irq_info.size, index, flags: 0x40, count: 7 });
        const result = answer(kernel.ioctl(fd, VFIO_DEVICE_GET_IRQ_INFO.number, irq.bytes));
        lines.push(`irq ${index} ${when} GET_INFO: ${result} flags ${irq.flags} count ${irq.count}`);
      }
    };
    irqs('before');
    const info = vfio_device_info.create();
    Object.assign(info, { argsz: vfio_device_info.size, cap_offset: 0x55, pad: 0x66 });
    const result = answer(kernel.ioctl(fd, VFIO_DEVICE_GET_INFO.number, info.bytes));
    lines.push(`device: ${result} flags ${info.flags} regions ${info.num_regions} irqs ${info.num_irqs} argsz ${info.argsz}`);
    lines.push(`device: past the minimum ${info.cap_offset} ${info.pad}`);
    irqs('after');
    for (const index of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 17, 0xffff_ffff]) {
      const region = vfio_region_info.create();
      Object.assign(region, { argsz: vfio_region_info.size, index, cap_offset: 0x77 });
      const asked = answer(kernel.ioctl(fd, VFIO_DEVICE_GET_REGION_INFO.number, region.bytes));
      lines.push(
        `region ${index}: ${asked} flags ${region.flags} size ${hex(region.size)} offset ${hex(region.offset)} cap ${region.cap_offset}`,
      );
    }
    const config = new Uint8Array(252);
    expect(kernel.pread(fd, config, type.startsWith('mtty') ? 7 * 2 ** 40 : 0)).toBe(252);
    lines.push(
      ...(Buffer.from(config)
        .toString('hex')
        .match(/.{1,32}/g) ?? []),
    );
    expectGolden(variant, subject, `mediated-info-${type}`, lines);
  });

  describe('type1 without an IOMMU', () => {
    const page = 4096n;
    const nowhere = 0x1000n;
    const map = (container: number, vaddr: bigint, iova: bigint, size = page, flags = 3): string => {
      const view = vfio_iommu_type1_dma_map.create();
      Object.assign(view, { argsz: vfio_iommu_type1_dma_map.size, flags, vaddr, iova, size });
      return answer(subject.kernel.ioctl(container, VFIO_IOMMU_MAP_DMA.number, view.bytes));
    };
    const unmap = (container: number, iova: bigint, size: bigint, flags = 0): string => {
      const view = vfio_iommu_type1_dma_unmap.create();
      Object.assign(view, { argsz: vfio_iommu_type1_dma_unmap.size, flags, iova, size });
      const result = answer(subject.kernel.ioctl(container, VFIO_IOMMU_UNMAP_DMA.number, view.bytes));
      return result === '0' ? hex(view.size) : result;
    };
    const info = (container: number): string[] => {
      const view = vfio_iommu_type1_info.create(256);
      view.argsz = view.bytes.byteLength;
      const result = answer(subject.kernel.ioctl(container, VFIO_IOMMU_GET_INFO.number, view.bytes));
      return [result, ...(Buffer.from(view.bytes).toString('hex').match(/.{32}/g) ?? [])];
    };
    const extensions = (container: number): string =>
      Array.from({ length: 21 }, (_, number) => answer(subject.kernel.ioctl(container, VFIO_CHECK_EXTENSION.number, number))).join(' ');

    it('GET_INFO and CHECK_EXTENSION are as recorded, alone and with a group that has an IOMMU', () => {
      const place = devices.make('mtty-1');
      const { container } = seam.ready(place);
      const lines = ['alone', ...info(container), extensions(container)];
      const other = seam.group(subject.edu);
      lines.push(`the other group: ${answer(seam.setContainer(other, container))}`, ...info(container), extensions(container));
      subject.kernel.ioctl(other, VFIO_GROUP_UNSET_CONTAINER.number);
      lines.push('alone again', ...info(container), extensions(container));
      expectGolden(variant, subject, `mediated-iommu-${subject.iommu}`, lines);
    });

    it('MAP looks at no memory and at no range', () => {
      const { container } = seam.ready(devices.make('mtty-1'));
      expect(map(container, nowhere, 0n)).toBe('0');
      expect(map(container, nowhere, 0xfee0_0000n)).toBe('0');
      expect(map(container, nowhere, 0xffff_ffff_ffff_e000n)).toBe('0');
      expect(map(container, nowhere, 0n)).toBe('EEXIST');
      expect(map(container, nowhere + 1n, page)).toBe('EINVAL');
      expect(map(container, nowhere, page, 0n)).toBe('EINVAL');
      expect(unmap(container, 0n, page)).toBe('0x1000');
      expect(unmap(container, 0n, 0n, 2)).toBe('0x2000');
    });

    it('takes no addresses away, whatever else is wrong', () => {
      const { container } = seam.ready(devices.make('mtty-1'));
      expect(map(container, nowhere, 0n)).toBe('0');
      expect(unmap(container, 0n, page, 4)).toBe('EBUSY');
      expect(unmap(container, 1n, 0n, 4)).toBe('EBUSY');
      expect(unmap(container, 0n, 0n, 2 | 4)).toBe('EBUSY');
      expect(map(container, nowhere, 0n, page, 4)).toBe('EINVAL');
      expect(answer(subject.kernel.ioctl(container, VFIO_CHECK_EXTENSION.number, VFIO_UPDATE_VADDR))).toBe('0');
    });

    it('dirty pages are tracked of mappings of up to 2^31 pages', () => {
      const { container } = seam.ready(devices.make('mtty-1'));
      const most = page << 31n;
      const track = (flags: number): string =>
        answer(subject.kernel.ioctl(container, VFIO_IOMMU_DIRTY_PAGES.number, new Uint8Array(new Uint32Array([8, flags]).buffer)));
      const [start, stop] = [1, 2];
      expect(map(container, nowhere, 0n, most + page)).toBe('0');
      expect(track(start)).toBe('EINVAL');
      expect(unmap(container, 0n, most + page)).toBe(hex(most + page));
      expect(track(start)).toBe('0');
      expect(map(container, nowhere, 0n, most + page)).toBe('EINVAL');
      expect(track(stop)).toBe('0');
    });

    it('several mediated devices share a container, and the mappings outlast all but the last', () => {
      const [one, two] = [devices.make('mtty-1'), devices.make('mdpy-vga')];
      const { container, group, device } = seam.ready(one);
      const second = seam.group(two);
      expect(answer(seam.setContainer(second, container))).toBe('0');
      const display = seam.device(second, two.address);
      expect(map(container, nowhere, 0n)).toBe('0');
      seam.close(device);
      expect(answer(subject.kernel.ioctl(group, VFIO_GROUP_UNSET_CONTAINER.number))).toBe('0');
      expect(map(container, nowhere, 0n)).toBe('EEXIST');
      seam.close(display);
      expect(answer(subject.kernel.ioctl(second, VFIO_GROUP_UNSET_CONTAINER.number))).toBe('0');
      expect(answer(seam.setContainer(group, container))).toBe('0');
      expect(answer(seam.setIommu(container))).toBe('0');
      expect(unmap(container, 0n, 0n, 2)).toBe('0x0');
    });

    it('a group with an IOMMU joins only where it can reach what is mapped', () => {
      const { container } = seam.ready(devices.make('mtty-1'));
      const group = seam.group(subject.edu);
      expect(map(container, nowhere, 0x10_0000n)).toBe('0');
      expect(answer(seam.setContainer(group, container))).toBe('EFAULT');
      unmap(container, 0n, 0n, 2);
      expect(map(container, nowhere, 0xfee0_0000n)).toBe('0');
      expect(answer(seam.setContainer(group, container))).toBe('EINVAL');
      unmap(container, 0n, 0n, 2);
      expect(answer(seam.setContainer(group, container))).toBe('0');
      expect(map(container, nowhere, 0x10_0000n)).toBe('EFAULT');
      expect(map(container, nowhere, 0xfee0_0000n)).toBe('EINVAL');
    });
  });
}
