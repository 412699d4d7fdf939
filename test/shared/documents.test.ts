import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { ERROR_CODES } from '../../shared/errors.js';
import { createKeys } from '../../shared/keys.js';
import { SETTINGS } from '../../shared/settings.js';

const page = (path: string): Promise<string> => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');

/** The first column of every table row, without its backticks. */
function firstColumn(text: string): string[] {
  return [...text.matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1] as string);
}

test('docs/errors.md lists exactly the codes of the catalogue, each with what it means', async () => {
  const text = await page('docs/errors.md');
  assert.deepEqual(firstColumn(text), Object.keys(ERROR_CODES));
  for (const [code, meaning] of Object.entries(ERROR_CODES)) {
    const row = text.split('\n').find((line) => line.startsWith(`| \`${code}\``)) ?? '';
    const beginning = meaning.replace(/[.,:].*$/s, '');
    assert.ok(row.replaceAll('`', '').includes(beginning), `${code}: expected "${beginning}" in ${row}`);
  }
});

test('docs/redis-keys.md lists exactly the names that are built in one place', async () => {
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

test('the README lists exactly the settings, with what they are', async () => {
  const text = await page('README.md');
  const section = text.slice(text.indexOf('## Settings'), text.indexOf('## Scaling out'));
  assert.deepEqual(
    firstColumn(section),
    Object.values(SETTINGS).map(({ env }) => env),
  );
  for (const { env, about } of Object.values(SETTINGS)) {
    assert.ok(section.includes(`| ${about} |`), `${env}: expected "${about}"`);
  }
});
