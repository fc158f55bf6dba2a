/** `vfio lab` as far as it needs no guest; `npm run test:lab` runs those. */
import { describe, expect, it } from 'vitest';
import { vfio } from './support.js';

describe('vfio lab', () => {
  it.each([
    [['lab'], 'Expected a command for the guest: vfio lab -- COMMAND'],
    [['lab', '--iommu', 'ibm', '--', 'true'], 'Allowed choices are intel, amd, virtio, none'],
    [['lab', '--variant', 'odd', '--', 'true'], 'Allowed choices are default, iommufd-container'],
    [['lab', '--memory', '0', '--', 'true'], "Expected a positive number but received '0'"],
    [['lab', '--timeout', 'x', '--', 'true'], "Expected a positive number but received 'x'"],
    [['lab', '--bogus', '--', 'true'], "unknown option '--bogus'"],
  ])('%s is misuse', async (args, words) => {
    const { status, out, err } = await vfio(args);
    expect([status, out]).toEqual([2, '']);
    expect(err).toContain(words);
  });

  it('is of real kernels alone', async () => {
    expect(await vfio(['lab', '--', 'true'], { machine: {} })).toMatchObject({
      status: 2,
      err: expect.stringContaining('--sim') as string,
    });
  });

  it('says what is no kernel', async () => {
    expect(await vfio(['lab', '--kernel', 'linux', '--', 'true'])).toMatchObject({
      status: 1,
      err: "vfio: Expected a kernel like 6.12, or newest, but received 'linux'\n",
    });
    const missing = await vfio(['lab', '--kernel', '6.1', '--variant', 'iommufd-container', '--', 'true']);
    expect([missing.status, missing.err]).toEqual([1, 'vfio: Of Linux 6.1 there is no iommufd-container, but default\n']);
  });

  it('lists the kernels that are built', async () => {
    const { status, json } = await vfio(['lab', '--list', '--json']);
    expect(status).toBe(0);
    for (const kernel of json as object[]) expect(kernel).toMatchObject({ image: expect.stringMatching(/bzImage$/) as string });
    expect((await vfio(['lab', '--list'])).out).toMatch(/Linux \d|No kernel is built yet/);
  });
});
