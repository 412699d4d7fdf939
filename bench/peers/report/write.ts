import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { csvOf } from './csv.js';
import { replaceBetween } from './page.js';
import { plotOf } from './plot.js';
import { type ReportData, capabilityTable, resultTables, runText, settingsTable } from './tables.js';

const docs = new URL('../../../docs/', import.meta.url);
const PAGE = new URL('benchmarks.md', docs);
const FOLDER = new URL('benchmarks/', docs);

/** Prints the results; with `write`, puts them into the page, the CSV file and the plot. */
export async function writeReport(data: ReportData, write: boolean): Promise<void> {
  const run = runText(data);
  const results = resultTables(data);
  console.log(`${run}\n\n${results}`);
  for (const failure of data.result.failures) console.log(`failed: ${failure}`);
  if (!write) return;
  const versions = new Map(data.infos.map(({ name, packages }) => [name, data.machine.packages[packages[0] ?? ''] ?? '']));
  await mkdir(FOLDER, { recursive: true });
  await writeFile(new URL('peers.csv', FOLDER), csvOf(data.result.samples, versions));
  await writeFile(new URL('peers.svg', FOLDER), plotOf(data.infos, data.result));
  const parts = { run, results, capabilities: capabilityTable(data), settings: settingsTable(data) };
  let page = await readFile(PAGE, 'utf8');
  for (const [name, text] of Object.entries(parts)) page = replaceBetween(page, name, text);
  await writeFile(PAGE, page);
  console.log('\nWrote docs/benchmarks.md, docs/benchmarks/peers.csv and docs/benchmarks/peers.svg.');
}
