export type { Telemetry } from '../shared/tracing/telemetry.js';
export { type OpenTelemetryOptions, openTelemetry } from './open-telemetry.js';
