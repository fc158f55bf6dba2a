// Does one thing more than was recorded, and takes no notice of what becomes of it.
import { native } from 'vfio';

const { files } = native();
const say = (call) => {
  try {
    console.log(call());
  } catch (error) {
    console.log(error.code);
  }
};
say(() => files.access('/sys/bus/pci'));
if (process.argv.includes('more')) say(() => files.access('/sys/class'));
