import assert from 'node:assert/strict';
import { test } from 'node:test';
import { similarTo } from '../../shared/similar.js';

const KNOWN = ['chat.completion', 'document.index', 'fleet.canary', 'invoice.send', 'invoice.sent'];

test('a mistyped name is like the known one with the fewest changes', () => {
  const cases: Record<string, string | null> = {
    'fleet.canray': 'fleet.canary',
    'Fleet.Canary': 'fleet.canary',
    canary: 'fleet.canary',
    'chat-completion': 'chat.completion',
    'invoce.send': 'invoice.send',
    'invoice.send': null,
    'report.build': null,
    x: null,
    '': null,
  };
  for (const [typed, expected] of Object.entries(cases)) assert.equal(similarTo(typed, KNOWN), expected, typed);
});
