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

test('docs/errors.md lists exactly the codes of the catalogue, each with its meaning', async () => {
  const text = await page('docs/errors.md');
  assert.deepEqual(firstColumn(text), Object.keys(ERROR_CODES));
  for (const [code, meaning] of Object.entries(ERROR_CODES)) {
    const row = text.split('\n').find((line) => line.startsWith(`| \`${code}\``)) ?? '';
    const beginning = meaning.replace(/[.,:].*$/s, '');
    assert.ok(row.replaceAll('`', '').includes(beginning), `${code}: expected "${beginning}" in ${row}`);
  }
});

test('docs/redis-keys.md lists exactly the names that createKeys builds', async () => {
  const keys = createKeys('p');
  const built = Object.entries(keys)
    .filter(([name]) => name !== 'prefix' && name !== 'jobAt')
    .map(([name, key]: [string, string | ((part: string) => string)]) => {
      if (name === 'bull') return 'p:bull:<queue>:…';
      return typeof key === 'string' ? key : key(name === 'item' || name === 'ownItem' ? '<item>' : '<id>');
    })
    .filter((key) => key !== 'p:bull:<id>:');
  const documented = firstColumn(await page('docs/redis-keys.md'));
  assert.deepEqual(new Set(documented), new Set(built));
});

test('docs/settings.md matches the schema; otherwise run `npm run docs:settings`', async () => {
  const text = await page('docs/settings.md');
  assert.equal(text, settingsPage());
  const variables = firstColumn(text);
  assert.deepEqual(new Set(variables), new Set(Object.values(SETTINGS).map(({ env }) => env)));
  assert.equal(variables.length, Object.keys(SETTINGS).length);
});
