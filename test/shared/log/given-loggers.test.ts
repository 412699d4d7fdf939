import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { isFleetError } from '../../../shared/errors.js';
import { type Loggers, loggersOf, pinoLoggers } from '../../../shared/log/given-loggers.js';
import { resolveSettings } from '../../../shared/settings/settings.js';

const settings = resolveSettings({ logLevel: 'silent' });

function collecting(level: string) {
  const lines: Record<string, unknown>[] = [];
  const logger = pino({ level }, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  return { lines, logger };
}

test("a program's pino logger gets the lines of all components, at its own level, with errors but not their commands", () => {
  const { lines, logger } = collecting('info');
  const loggers = loggersOf(logger, 'createWorker', settings);
  const error = Object.assign(new Error('refused'), { command: { name: 'auth', args: ['secret'] } });
  loggers('redis').warn({ error }, 'lost');
  loggers('worker').debug('below the level');
  assert.deepEqual(
    lines.map(({ component, msg }) => [component, msg]),
    [['redis', 'lost']],
  );
  assert.match(JSON.stringify(lines), /"error":\{"name":"Error","message":"refused"/);
  assert.doesNotMatch(JSON.stringify(lines), /secret/);
});

test('a function makes the logger of each component', () => {
  const { lines, logger } = collecting('info');
  const own = pinoLoggers(logger);
  const loggers = loggersOf((component) => (component === 'task' ? own(component) : logger.child({}, { level: 'silent' })), '', settings);
  loggers('task').info('task');
  loggers('worker').error('worker');
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    ['task'],
  );
});

test('anything else is refused', () => {
  for (const bad of [null, 1, 'pino', {}, [], { info: () => 1 }] as unknown as Loggers[])
    assert.throws(
      () => loggersOf(bad, 'createWorker', settings),
      (error) => isFleetError(error, 'INVALID_SETTINGS'),
    );
});
