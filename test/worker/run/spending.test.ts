import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Spending } from '../../../worker/run/spending.js';
import { type Deferred, deferred } from '../../support/deferred.js';

/** A spending of estimates, and its corrections, each of which the test answers. */
function spendingOf(estimates: Readonly<Record<string, number>>) {
  const sent: { readonly id: string; readonly tokens: number; readonly answer: Deferred<void> }[] = [];
  const errors: unknown[] = [];
  const spending = new Spending({
    rates: Object.entries(estimates).map(([id, cost]) => ({ kind: 'rate', id, limit: id, max: [1, 1_000, 1], keyed: false, cost })),
    correct: ({ id }, tokens) => {
      const answer = deferred();
      sent.push({ id, tokens, answer });
      return answer.promise;
    },
    onError: (error) => errors.push(error),
  });
  return { spending, errors, sent, corrections: () => sent.map(({ id, tokens }) => [id, tokens]) };
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe('Spending', () => {
  it('sends the difference to the estimate of each rate, and none where the estimate was right', () => {
    const { spending, corrections } = spendingOf({ tokens: 100, characters: 400, exact: 250 });
    spending.spend(250);
    assert.deepEqual(corrections(), [
      ['tokens', 150],
      ['characters', -150],
    ]);
  });

  it('sends nothing without a call', () => {
    const { spending, corrections } = spendingOf({ tokens: 100 });
    spending.close();
    assert.deepEqual(corrections(), []);
  });

  it('replaces a cost that was not sent yet, and sends the last one at once when it is closed', async () => {
    const { spending, corrections, sent } = spendingOf({ tokens: 100 });
    for (const cost of [10, 20, 30]) spending.spend(cost);
    assert.deepEqual(corrections(), [['tokens', -90]]);
    sent[0]?.answer.resolve();
    await turn();
    assert.deepEqual(corrections().slice(1), [['tokens', 20]]);
    spending.spend(45);
    spending.close();
    assert.deepEqual(corrections().slice(2), [['tokens', 15]]);
    for (const { answer } of sent) answer.resolve();
    await turn();
    assert.equal(sent.length, 3);
  });

  it('reports its first failure, and goes on with the next difference', async () => {
    const { spending, corrections, sent, errors } = spendingOf({ tokens: 100 });
    spending.spend(50);
    sent[0]?.answer.reject(new Error('gone'));
    await turn();
    spending.spend(60);
    sent[1]?.answer.reject(new Error('gone again'));
    await turn();
    spending.spend(0);
    assert.deepEqual(corrections(), [
      ['tokens', -50],
      ['tokens', 10],
      ['tokens', -60],
    ]);
    assert.deepEqual(
      errors.map((error) => (error as Error).message),
      ['gone'],
    );
  });
});
