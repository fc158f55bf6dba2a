/** What `vfio trace` and `vfio replay` tell the processes of the program that they run. */
export interface TraceSettings {
  readonly mode: 'trace';
  /** A folder for these processes alone, where they see which others there are. */
  readonly folder: string;
  /** When the program was started, in milliseconds as `Date.now()` has them. */
  readonly start: number;
  /** The file that is recorded into. */
  readonly out?: string;
  readonly quiet: boolean;
  readonly json: boolean;
  readonly registers: boolean;
  /** The only calls and requests that are shown. */
  readonly only?: readonly string[];
  /** The file that describes the simulated machine. */
  readonly sim?: string;
}

export interface ReplaySettings {
  readonly mode: 'replay';
  readonly folder: string;
  readonly recording: string;
}

export type Settings = TraceSettings | ReplaySettings;

/** What a process of the replayed program leaves in the folder, as `PART.json`, for each part of the recording. */
export interface ReplayReport {
  /** Where it departed, and where in the program that was. */
  readonly departed?: { readonly message: string; readonly stack: string };
  /** How many recorded calls it did not make. */
  readonly left?: number;
}

export const settingsVariable = 'VFIO_INSTRUMENT';
