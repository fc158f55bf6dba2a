import { describe, expect, it } from 'vitest';
import { createMediatedDevice, mediatedTypes } from '../../lib/pci/mediated.js';
import { Edu, Machine } from '../../lib/sim/index.js';
import { Container } from '../../lib/vfio/container.js';

const uuid = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
const machine = (): Machine => new Machine({ mediated: ['mtty', 'mdpy'], devices: [{ model: new Edu() }] });

describe('mediated devices', () => {
  it('a machine has the parents it is given, and by default none', () => {
    expect(mediatedTypes(new Machine().kernel)).toEqual([]);
    expect(mediatedTypes(machine().kernel).map(({ type, available, description }) => [type, available, description])).toEqual([
      ['mdpy-hd', 4, 'virtual display, 1920x1080 framebuffer'],
      ['mdpy-vga', 4, 'virtual display, 640x480 framebuffer'],
      ['mdpy-xga', 4, 'virtual display, 1024x768 framebuffer'],
      ['mtty-1', 24, undefined],
      ['mtty-2', 12, undefined],
    ]);
    expect(() => new Machine({ mediated: ['nobody' as never] })).toThrow(
      "Expected one of mtty, mdpy, mbochs for mediated but received 'nobody'",
    );
  });

  it('errors say what there is', () => {
    const { kernel } = machine();
    expect(() => createMediatedDevice(kernel, { parent: 'mtty', type: 'mtty-1', uuid: 'x' })).toThrow('for uuid but received');
    expect(() => createMediatedDevice(kernel, { parent: 'mtty', type: 'mtty-3' })).toThrow(/mtty-3 at a parent mtty\. .*mtty makes mtty-1/);
    expect(() => createMediatedDevice(new Machine().kernel, { parent: 'mtty', type: 'mtty-1' })).toThrow('Nothing makes any here');
  });

  it('numbers of groups and UUIDs are free again once a device is removed', () => {
    const { kernel } = machine();
    const first = createMediatedDevice(kernel, { parent: 'mtty', type: 'mtty-1', uuid: uuid.toUpperCase() });
    expect(first).toMatchObject({ uuid, group: 1 });
    first.remove();
    using second = createMediatedDevice(kernel, { parent: 'mdpy', type: 'mdpy-hd', uuid });
    expect(second.group).toBe(1);
    first.remove();
    expect(kernel.files.readdir('/sys/bus/mdev/devices')).toEqual([uuid]);
  });

  it('one that is open is not removed, and can be later', () => {
    const { kernel } = machine();
    const made = createMediatedDevice(kernel, { parent: 'mtty', type: 'mtty-1' });
    const container = Container.open(kernel);
    const group = container.openGroup(made.group);
    container.setIommu();
    group.openDevice(made.uuid);
    expect(() => made.remove()).toThrow(expect.objectContaining({ code: 'EBUSY' }));
    container.close();
    made.remove();
    expect(kernel.files.readdir('/sys/bus/mdev/devices')).toEqual([]);
  });

  it('Machine.unbind waits until it is let go', async () => {
    const computer = machine();
    const { kernel } = computer;
    createMediatedDevice(kernel, { parent: 'mtty', type: 'mtty-1', uuid });
    const container = Container.open(kernel);
    const group = container.openGroup(1);
    container.setIommu();
    const device = group.openDevice(uuid);
    let gone = false;
    const removal = computer.unbind(uuid).then(() => (gone = true));
    await Promise.resolve();
    expect(gone).toBe(false);
    device.close();
    await removal;
    expect(kernel.files.access('/dev/vfio/1')).toBe(-2);
    container.close();
    await expect(computer.unbind(uuid)).rejects.toThrow('for address');
  });
});
