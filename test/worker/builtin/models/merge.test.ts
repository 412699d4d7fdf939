import assert from 'node:assert/strict';
import { test } from 'node:test';
import { entriesOf } from '../../../../worker/builtin/models/merge.js';
import { formerPlaces } from '../../../../worker/builtin/models/records.js';

test('models that cannot chat are left out for api.openai.com only', () => {
  const models = ['gpt-5', 'gpt-4o-mini-tts', 'text-embedding-3-small', 'dall-e-3', 'whisper-1', 'davinci-002', 'babbage-002'].map(
    (id) => ({ id }),
  );
  assert.deepEqual([...entriesOf(models, 'https://api.openai.com/v1', 0).keys()], ['gpt-5']);
  assert.equal(entriesOf(models, 'https://api.openai.com.example.org/v1', 0).size, models.length);
});

test('a base URL is found at its former index, and each index belongs to one server', () => {
  const places = (labels: string, former: string) =>
    formerPlaces(labels.split(''), new Map(former.split('').map((label, urlIdx) => [urlIdx, label])));
  assert.deepEqual(formerPlaces(['a', 'b'], new Map()), [0, 1]);
  assert.deepEqual(places('abc', 'abc'), [0, 1, 2]);
  assert.deepEqual(places('cab', 'abc'), [2, 0, 1]);
  assert.deepEqual(places('xbc', 'abc'), [null, 1, 2]);
  assert.deepEqual(places('a', 'abc'), [0]);
  // The same URL several times: as many indexes as before.
  assert.deepEqual(places('aaa', 'aa'), [0, 1, null]);
  assert.deepEqual(places('xyaa', 'aa'), [null, null, 0, 1]);
  assert.deepEqual(places('baa', 'aab'), [2, 1, 0]);
  // An index that is being rewritten belongs to no server.
  assert.deepEqual(
    formerPlaces(
      ['a', 'b'],
      new Map([
        [0, ''],
        [1, 'b'],
      ]),
    ),
    [null, 1],
  );
});
