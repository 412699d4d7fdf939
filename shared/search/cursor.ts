import { FleetError } from '../errors.js';
import { quote } from '../keys.js';
import type { Position } from './order.js';

/** Where a page ended: among the fleet's own tasks, or among those of other programs, which follow. */
export interface Cursor extends Position {
  readonly kind: 'own' | 'foreign';
}

const FOREIGN = 'foreign';

/** Formats a cursor, for the `next` of a page. */
export function formatCursor({ kind, at, id }: Cursor): string {
  return `${kind === 'foreign' ? FOREIGN : at}-${id}`;
}

/** @throws FleetError `INVALID_OPTION` */
export function parseCursor(cursor: string): Cursor {
  const [, at = '', id = ''] = /^(\d{1,16}|foreign)-([^]*)$/.exec(cursor) ?? [];
  if (at === FOREIGN) return { kind: 'foreign', at: 0, id };
  if (at !== '') return { kind: 'own', at: Number(at), id };
  throw new FleetError('INVALID_OPTION', `Bad after: expected the \`next\` of a page, got ${quote(cursor)}.`, {
    details: { field: 'after' },
  });
}
