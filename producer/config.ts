import { FleetError } from '../shared/errors.js';
import type { Loggers } from '../shared/log/given-loggers.js';
import { type SettingsInput, resolveSettings } from '../shared/settings/settings.js';
import type { ConnectedSettings } from '../shared/store.js';
import type { Telemetry } from '../shared/tracing/telemetry.js';

/** Settings by name. `redisUrl` is required; docs/reference/settings.md lists the defaults of the others. */
export interface ProducerConfig extends SettingsInput {
  readonly redisUrl: string;
  /**
   * Listen for stop commands of other programs and record them, as workers and dashboards do, so that a stop by open-webui
   * holds even while none of them is running. Uses one more connection. Default false.
   */
  readonly listenForStops?: boolean;
  /** See {@link Loggers}. Default: JSON lines on standard error. */
  readonly loggers?: Loggers;
  /** Traces and measures enqueues and stops: `openTelemetry()` from `taskfleet/telemetry`. Default: none. */
  readonly telemetry?: Telemetry | undefined;
}

/** @throws FleetError `INVALID_SETTINGS` */
export function producerSettings(input: SettingsInput): ConnectedSettings {
  const settings = resolveSettings(input);
  const { redisUrl } = settings;
  if (redisUrl) return { ...settings, redisUrl };
  throw new FleetError('INVALID_SETTINGS', 'createProducer: expected redisUrl, for example redis://127.0.0.1:6379.');
}
