import { FleetError, messageOf } from '../errors.js';
import { type AnyDefinition, fieldErrorsOf, issuesOf } from './definition.js';

/**
 * Checks an input and returns it as JSON, without defaults, which the worker fills in.
 * @throws FleetError `INVALID_INPUT`, naming the fields; `INPUT_TOO_LARGE`
 */
export function checkInput(definition: AnyDefinition, input: unknown, maxBytes: number): string {
  const parsed = parse(definition, input);
  if (!parsed.success) {
    throw new FleetError('INVALID_INPUT', `Bad input for ${definition.name}: ${issuesOf(parsed.error)}.`, {
      details: {
        task: definition.name,
        fields: parsed.error.issues.slice(0, 100).map((issue) => issue.path.join('.')),
        errors: fieldErrorsOf(parsed.error, 'input'),
      },
    });
  }
  const data = toJson(definition, input);
  // A UTF-16 unit takes at most three bytes, so most inputs need not be measured.
  if (data.length * 3 > maxBytes && Buffer.byteLength(data) > maxBytes) {
    const bytes = Buffer.byteLength(data);
    throw new FleetError('INPUT_TOO_LARGE', `Input for ${definition.name} is ${bytes} bytes of JSON; the limit is ${maxBytes}.`, {
      details: { task: definition.name, bytes, limit: maxBytes },
    });
  }
  return data;
}

function parse(definition: AnyDefinition, input: unknown): ReturnType<AnyDefinition['input']['safeParse']> {
  try {
    return definition.input.safeParse(input);
  } catch (error) {
    // A custom check of the schema threw, or is asynchronous.
    throw new FleetError('INVALID_INPUT', `Bad input for ${definition.name}: its schema failed (${messageOf(error)}).`, { cause: error });
  }
}

function toJson(definition: AnyDefinition, input: unknown): string {
  try {
    const data: string | undefined = JSON.stringify(input);
    if (data !== undefined) return data;
  } catch (error) {
    throw new FleetError('INVALID_INPUT', `Bad input for ${definition.name}: not JSON (${messageOf(error)}).`, { cause: error });
  }
  throw new FleetError('INVALID_INPUT', `Bad input for ${definition.name}: expected a JSON value, got ${typeof input}.`);
}
