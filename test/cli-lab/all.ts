/** The command on a real kernel. */
import './bind.js';
