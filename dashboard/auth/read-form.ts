import { type RequestHandler, urlencoded } from 'express';
import { FleetError, messageOf } from '../../shared/errors.js';

const MAX_FORM_BYTES = 32_768;
const parse = urlencoded({ extended: false, inflate: false, limit: MAX_FORM_BYTES, parameterLimit: 20 });

/** Reads a form body, unless the surrounding app has parsed it already. @throws FleetError `BODY_TOO_LARGE`, `BAD_REQUEST` */
export function readForm(): RequestHandler {
  return (req, res, next) => {
    parse(req, res, (error?: unknown) => next(error === undefined ? undefined : explain(error)));
  };
}

function explain(error: unknown): FleetError {
  const tooLarge = error instanceof Error && 'status' in error && error.status === 413;
  if (tooLarge) return new FleetError('BODY_TOO_LARGE', `Expected a form of at most ${MAX_FORM_BYTES} bytes.`, { cause: error });
  return new FleetError('BAD_REQUEST', `Expected a form: ${messageOf(error)}.`, { cause: error });
}

/** Returns the text fields of a parsed body. */
export function formOf({ body }: { readonly body?: unknown }): Readonly<Record<string, string | undefined>> {
  const fields = typeof body === 'object' && body !== null ? Object.entries(body) : [];
  return Object.fromEntries(fields.filter((field): field is [string, string] => typeof field[1] === 'string'));
}
