/** `npm run faults` runs every scenario at full size with default settings; `npm test` what is quick enough, small and with short ones. */
export const FULL = process.env['FAULTS'] === 'full';
/** Part of the name of the scenarios to run; all of them if it is empty. */
export const ONLY = process.env['FAULTS_ONLY'] ?? '';
