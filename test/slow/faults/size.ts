/** `npm run faults` runs every scenario at full size with default settings; the tests run the quick ones, small and with short settings. */
export const FULL = process.env['FAULTS'] === 'full';
/** Part of the names of the scenarios to run; empty for all. */
export const ONLY = process.env['FAULTS_ONLY'] ?? '';
