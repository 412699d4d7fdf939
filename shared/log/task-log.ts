import { bytesBeyond, cutToBytes, shortened } from '../limits.js';
import type { LogLevel } from '../settings/log-levels.js';
import { isSecretField } from './secret-fields.js';

/** Lines kept of a task's log. */
export const MAX_LOG_LINES = 1_000;
/** Bytes kept of a task's log. */
export const MAX_LOG_BYTES = 262_144;
/** Bytes of a line; a longer one is cut with a mark. */
export const MAX_LOG_LINE_BYTES = 8_192;

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLineLevel = (typeof LEVELS)[number];

/** A line of a task's log. What a plain BullMQ client wrote with `job.log` is a message without time, level and attempt. */
export interface LogLine {
  /** Number of the line since the task's first, from 1. Dropped lines count. */
  readonly seq: number;
  readonly at: Date | null;
  readonly level: LogLineLevel | null;
  /** The attempt whose handler logged it. */
  readonly attempt: number | null;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A part of a task's log. */
export interface LogPage {
  readonly lines: readonly LogLine[];
  /** The `after` of the next page; null if no more lines were stored. */
  readonly next: number | null;
  /** The oldest lines that are no longer kept: the log's first line is the next one. */
  readonly dropped: number;
}

/** Returns the level of pino's number; a custom level becomes the next lower one. */
export function levelOfNumber(number: number): LogLineLevel {
  return LEVELS[Math.min(LEVELS.length, Math.max(1, Math.floor(number / 10))) - 1] as LogLineLevel;
}

/** Returns whether lines of a level are kept from the other level on. */
export function isKept(level: LogLineLevel, from: LogLevel): boolean {
  return from !== 'silent' && LEVELS.indexOf(level) >= LEVELS.indexOf(from);
}

/** Formats a line as it is stored, and shown by Bull Board: `2030-01-31T12:00:00.000Z INFO [2] message {"field":1}`. */
export function formatLogLine({ at, level, attempt, message, fields }: Omit<LogLine, 'seq'> & { readonly at: Date }): string {
  const head = `${at.toISOString()} ${(level ?? 'info').toUpperCase()} [${attempt ?? 0}] `;
  const text = oneLine(message);
  const whole = head + withFields(text, censored(fields, SECRET_DEPTH));
  if (bytesBeyond(whole, MAX_LOG_LINE_BYTES) === null) return whole;
  const cut = cutToBytes(text, MAX_LOG_LINE_BYTES / 2);
  const room = MAX_LOG_LINE_BYTES - Buffer.byteLength(head) - Buffer.byteLength(cut) - 1;
  return head + withFields(cut, fitted(censored(fields, SECRET_DEPTH), room));
}

/** Line breaks would make one line of `task logs` look like several. */
function oneLine(text: string): string {
  return text.toWellFormed().replaceAll(/\r?\n|\r/g, '\\n');
}

function withFields(message: string, fields: Readonly<Record<string, unknown>>): string {
  // Without fields, a message that ends like fields gets empty ones.
  if (Object.keys(fields).length > 0 || message.endsWith('}')) return `${message} ${JSON.stringify(fields)}`;
  return message;
}

/** Lengths to which texts in the fields of a long line are cut, until it fits. */
const FIELD_LENGTHS = [2_048, 512, 128] as const;

function fitted(fields: Readonly<Record<string, unknown>>, bytes: number): Readonly<Record<string, unknown>> {
  for (const length of FIELD_LENGTHS) {
    const json = JSON.stringify(fields, (_, value: unknown) => (typeof value === 'string' ? shortened(value, length) : value));
    if (bytesBeyond(json, bytes) === null) return JSON.parse(json) as Record<string, unknown>;
  }
  return { cut: `${Buffer.byteLength(JSON.stringify(fields))} bytes of fields` };
}

/** Depth to which secret fields are censored, as by the logger. */
const SECRET_DEPTH = 3;

/** Censors secrets that a program's own logger lets through. */
function censored(fields: Readonly<Record<string, unknown>>, depth: number): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      if (isSecretField(name)) return [name, '***'];
      const nested = depth > 1 && typeof value === 'object' && value !== null && !Array.isArray(value);
      return [name, nested ? censored(value as Record<string, unknown>, depth - 1) : value];
    }),
  );
}

const LINE = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([A-Z]{4,5}) \[(\d{1,9})\] (.*)$/s;

/** Parses a stored line. A line in another format becomes a message; never throws. */
export function parseLogLine(text: string, seq: number): LogLine {
  const [, time = '', label = '', attempt = '', rest = ''] = LINE.exec(text) ?? [];
  const at = new Date(time);
  const level = LEVELS.find((known) => known === label.toLowerCase());
  if (level === undefined || Number.isNaN(at.getTime()))
    return { seq, at: null, level: null, attempt: null, message: cutToBytes(text, MAX_LOG_LINE_BYTES), fields: {} };
  return { seq, at, level, attempt: Number(attempt), ...splitFields(rest) };
}

/** Places at which fields may begin that are tried; a message may contain braces too. */
const MAX_TRIES = 64;

function splitFields(text: string): Pick<LogLine, 'message' | 'fields'> {
  if (text.endsWith('}')) {
    for (let at = fieldsFrom(text, 0), tries = 0; at !== -1 && tries < MAX_TRIES; at = fieldsFrom(text, at + 1), tries += 1) {
      const fields = parsedFields(text.slice(at));
      if (fields !== null) return { message: text.slice(0, Math.max(0, at - 1)), fields };
    }
  }
  return { message: text, fields: {} };
}

/** Returns the next place of a brace after a space, or at the start of the text; -1 for none. */
function fieldsFrom(text: string, start: number): number {
  if (start === 0 && text.startsWith('{')) return 0;
  const space = text.indexOf(' {', Math.max(0, start - 1));
  return space === -1 ? -1 : space + 1;
}

function parsedFields(json: string): Readonly<Record<string, unknown>> | null {
  try {
    return JSON.parse(json) as Record<string, unknown>;
  } catch {
    return null;
  }
}

/** Formats a line for HTTP and `-o json`. */
export function logLineToJson({ seq, at, level, attempt, message, fields }: LogLine): Record<string, unknown> {
  return { seq, at: at?.toISOString() ?? null, level, attempt, message, fields };
}
