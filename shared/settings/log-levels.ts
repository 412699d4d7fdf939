import { z } from 'zod';

/** The components that log, each with its own level: `WORKER_LOG_LEVEL=debug`. */
export const COMPONENTS = [
  'billing',
  'cleanup',
  'cli',
  'dashboard',
  'models',
  'producer',
  'redis',
  'schedule',
  'stop',
  'task',
  'worker',
] as const;
export type Component = (typeof COMPONENTS)[number];

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Level names of Python's logging that differ from ours. NOTSET logs everything. */
const PYTHON_LEVELS: Readonly<Record<string, LogLevel>> = { warning: 'warn', critical: 'fatal', notset: 'trace' };

/** Parses a log level of ours or Python's, in either case. */
export const levelSchema = z
  .string()
  .transform((text) => text.trim().toLowerCase())
  .transform((name) => (Object.hasOwn(PYTHON_LEVELS, name) ? PYTHON_LEVELS[name] : name))
  .pipe(z.enum(LOG_LEVELS));

export const EXPECTED_LEVEL = `one of ${LOG_LEVELS.join(', ')}, or a level of Python (WARNING, CRITICAL, NOTSET)`;

/**
 * open-webui's SRC_LOG_LEVELS variables and our components that do the same work. A variable without components is checked
 * and has no effect. `MODELS_LOG_LEVEL` is not listed because our component `models` already has it.
 */
export const OPEN_WEBUI_LEVELS: Readonly<Record<string, readonly Component[]>> = {
  MAIN_LOG_LEVEL: ['dashboard', 'stop', 'worker'],
  OPENAI_LOG_LEVEL: ['models'],
  RAG_LOG_LEVEL: ['task'],
  SOCKET_LOG_LEVEL: ['cleanup'],
  AUDIO_LOG_LEVEL: [],
  COMFYUI_LOG_LEVEL: [],
  CONFIG_LOG_LEVEL: [],
  DB_LOG_LEVEL: [],
  FILTER_LOG_LEVEL: [],
  IMAGES_LOG_LEVEL: [],
  OAUTH_LOG_LEVEL: [],
  OLLAMA_LOG_LEVEL: [],
  WEBHOOK_LOG_LEVEL: [],
};

export function levelVariable(component: Component): string {
  return `${component.toUpperCase()}_LOG_LEVEL`;
}

/** Returns the variables that can set a component's level, in order of precedence. */
export function levelVariables(component: Component): readonly string[] {
  const foreign = Object.entries(OPEN_WEBUI_LEVELS).flatMap(([variable, components]) => (components.includes(component) ? [variable] : []));
  return [levelVariable(component), ...foreign];
}
