/**
 * Prints the names of a header that lib/abi does not declare, one a line, and fails if there are any.
 *
 *   npx tsx test/abi/missing.ts FOLDER      FOLDER holds linux/vfio.h; default /usr/include
 */
import * as abi from '../../lib/abi/index.js';
import { headerNames, readHeaders } from '../support/header-names.js';

const missing = headerNames(readHeaders(process.argv[2] ?? '/usr/include')).filter((name) => !(name in abi));
for (const name of missing) console.log(name);
process.exitCode = missing.length === 0 ? 0 : 1;
