/** The command on a real kernel. */
import './bind.js';
import './doctor.js';
import './registers.js';
