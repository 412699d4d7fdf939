import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkPersistence, checkVersion } from '../../../cli/doctor/redis-checks.js';

describe('the Redis checks of the doctor', () => {
  const level = (check: { level: string }): string => check.level;

  it('require Redis 6.2 or newer, or Valkey', () => {
    const versions = ['5.0.14', '6.0.20', '6.2.0', '7.4.1', '8.0.0'].map((version) =>
      level(checkVersion(new Map([['redis_version', version]]))),
    );
    assert.deepEqual(versions, ['fail', 'fail', 'ok', 'ok', 'ok']);
    const valkey = new Map([
      ['redis_version', '7.2.4'],
      ['server_name', 'valkey'],
      ['valkey_version', '8.1.0'],
    ]);
    assert.match(checkVersion(valkey).message, /^Valkey 8\.1\.0, compatible with Redis 7\.2\.4$/);
  });

  it('report what a restart would lose', () => {
    const aof = (status: string): Map<string, string> =>
      new Map([
        ['aof_enabled', '1'],
        ['aof_last_write_status', status],
      ]);
    const none = new Map([['aof_enabled', '0']]);
    const failed = new Map([['rdb_last_bgsave_status', 'err']]);
    const levels = [
      checkPersistence(aof('ok'), ''),
      checkPersistence(aof('err'), ''),
      checkPersistence(none, ''),
      checkPersistence(none, '60 1'),
      checkPersistence(failed, null),
    ];
    assert.deepEqual(levels.map(level), ['ok', 'fail', 'warn', 'warn', 'fail']);
  });
});
