// Ends in order when it is told to, with a status of its own.
import { native } from 'vfio';

native().files.access('/sys');
const alive = setInterval(() => {}, 1000);
process.on('SIGTERM', () => {
  clearInterval(alive);
  native().files.access('/proc');
  process.exitCode = 7;
});
console.log('ready');
