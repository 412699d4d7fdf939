/** Doubles and helpers for the tests of services that use a fleet. See docs/guides/testing.md. */
export type { IdleOptions } from './fleet/quiet.js';
export { type TestFleet, type TestFleetOptions, testFleet } from './fleet/test-fleet.js';
export type { EnqueuedChild } from './handler/children.js';
export type { HandlerAbort, HandlerRun } from './handler/handler-run.js';
export type { Moment } from './handler/moments.js';
export type { RunHandlerOptions } from './handler/options.js';
export { runHandler } from './handler/run-handler.js';
export { type FakeProducer, type FakeProducerOptions, type FakeTask, fakeProducer } from './producer/fake-producer.js';
