import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { settingsPage } from '../../scripts/settings-page.js';
import { ERROR_CODES } from '../../shared/errors.js';
import { createKeys } from '../../shared/keys.js';
import { SETTINGS } from '../../shared/settings/settings.js';

const page = (path: string): Promise<string> => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');

/** The first column of every table row, without its backticks. */
function firstColumn(text: string): string[] {
  return [...text.matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1] as string);
}

test('docs/reference/errors.md lists exactly the codes of the catalogue, each with its meaning', async () => {
  const text = await page('docs/reference/errors.md');
  assert.deepEqual(firstColumn(text), Object.keys(ERROR_CODES));
  for (const [code, meaning] of Object.entries(ERROR_CODES)) {
    const row = text.split('\n').find((line) => line.startsWith(`| \`${code}\``)) ?? '';
    const beginning = meaning.replace(/[.,:].*$/s, '');
    assert.ok(row.replaceAll('`', '').includes(beginning), `${code}: expected "${beginning}" in ${row}`);
  }
});

test('docs/reference/redis-keys.md lists exactly the names that createKeys builds', async () => {
  const keys = createKeys('p');
  const built = Object.entries(keys)
    .filter(([name]) => name !== 'prefix' && name !== 'jobAt')
    .map(([name, key]: [string, string | ((...parts: string[]) => string)]) => {
      if (name === 'bull') return 'p:bull:<queue>:…';
      if (name === 'series') return keys.series('<step>', '<id>');
      if (name.startsWith('kept')) return typeof key === 'string' ? key : key('<queue>', '<kind>', '<name>');
      return typeof key === 'string' ? key : key(name === 'item' || name === 'ownItem' ? '<item>' : '<id>');
    })
    .filter((key) => key !== 'p:bull:<id>:');
  const documented = firstColumn(await page('docs/reference/redis-keys.md'));
  assert.deepEqual(new Set(documented), new Set(built));
});

test('docs/reference/settings.md matches the schema; otherwise run `npm run docs:settings`', async () => {
  const text = await page('docs/reference/settings.md');
  assert.equal(text, settingsPage());
  const variables = firstColumn(text);
  assert.deepEqual(new Set(variables), new Set(Object.values(SETTINGS).map(({ env }) => env)));
  assert.equal(variables.length, Object.keys(SETTINGS).length);
});
