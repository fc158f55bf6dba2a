/** Tests of many calls come last: by then few mutants are left that each of them is repeated with. */
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const late = /(differential|scale)\.test\.ts$/;

export default class extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const last = ({ moduleId }: TestSpecification): number => Number(late.test(moduleId));
    return (await super.sort(files)).sort((one, other) => last(one) - last(other));
  }
}
