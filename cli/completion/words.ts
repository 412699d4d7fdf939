import type { Argument, Command, Option } from 'commander';
import { STATE_GROUPS } from '../../shared/task/filter/filter.js';
import { TASK_STATES } from '../../shared/task/state.js';
import type { GlobalOptions } from '../options.js';

/** Names that only the fleet knows. */
export type NameKind = 'tasks' | 'queues' | 'workers' | 'schedules' | 'ids' | 'items' | 'tags';

/** A proposal for the word at the cursor. */
export interface Candidate {
  readonly value: string;
  /** Description for shells that show one; may be empty. */
  readonly about: string;
}

/** What may stand at the cursor. */
export interface Completion {
  readonly candidates: readonly Candidate[];
  /** Names to ask the fleet for, besides the candidates. */
  readonly names: NameKind | null;
  /** The part of the word that stays, before the value: `--queue=`, `failed,`. */
  readonly kept: string;
  /** The value as far as it is typed. */
  readonly typed: string;
  /** The global options among the words before, which say where to ask. */
  readonly globals: GlobalOptions;
}

const OPTION_NAMES: Readonly<Record<string, NameKind>> = {
  '--name': 'tasks',
  '--queue': 'queues',
  '--worker': 'workers',
  '--item': 'items',
  '--tag': 'tags',
};

/** By command, for its first argument. */
const ARGUMENT_NAMES: Readonly<Record<string, NameKind>> = {
  'task enqueue': 'tasks',
  'task show': 'ids',
  'task stop': 'ids',
  'task retry': 'ids',
  'task watch': 'ids',
  'task logs': 'ids',
  'limit set': 'tasks',
  'limit clear': 'tasks',
  'worker drain': 'workers',
  'worker resume': 'workers',
  'schedule run': 'schedules',
  'schedule remove': 'schedules',
  'queue pause': 'queues',
  'queue resume': 'queues',
};

/** Values of options that are checked otherwise than by choices. */
const OPTION_VALUES: Readonly<Record<string, readonly string[]>> = { '--state': [...STATE_GROUPS, ...TASK_STATES] };

/** Options whose value is a list with commas. */
const LISTS: ReadonlySet<string> = new Set(['--state', '--columns']);

/** Returns what may replace the last of the words that follow `taskfleet`. */
export function completionOf(program: Command, words: readonly string[]): Completion {
  const typed = words.at(-1) ?? '';
  const walk = new Walk(program);
  for (const word of words.slice(0, -1)) walk.pass(word);
  const { globals } = walk;
  const nothing = { candidates: [], names: null, kept: '', typed, globals };
  if (walk.pending) return { ...nothing, ...valuesOf(walk.pending, typed) };
  const inOne = walk.onlyArguments ? null : /^(?<flag>--[^=]+=)(?<value>[^]*)$/.exec(typed);
  if (inOne?.groups) {
    const { flag = '', value = '' } = inOne.groups;
    const option = walk.optionOf(flag.slice(0, -1));
    if (!option || !takesValue(option)) return nothing;
    const values = valuesOf(option, value);
    return { ...nothing, ...values, kept: flag + values.kept };
  }
  if (typed.startsWith('-') && !walk.onlyArguments) return { ...nothing, candidates: optionsOf(walk.command) };
  return { ...nothing, ...placeOf(walk) };
}

/** Follows the words before the cursor. */
class Walk {
  command: Command;
  /** The option whose value comes next. */
  pending: Option | null = null;
  /** Whether `--` has ended the options. */
  onlyArguments = false;
  /** The arguments of the command so far. */
  passed = 0;
  readonly #globals: Record<string, string> = {};

  constructor(program: Command) {
    this.command = program;
  }

  get globals(): GlobalOptions {
    return { output: 'text', ...this.#globals };
  }

  pass(word: string): void {
    if (this.pending) {
      this.#note(this.pending, word);
      this.pending = null;
    } else if (word === '--') {
      this.onlyArguments = true;
    } else if (word.startsWith('-') && word !== '-' && !this.onlyArguments) {
      const [flag = '', value] = word.split(/=(.*)/s);
      const option = this.optionOf(flag);
      if (!option || !takesValue(option)) return;
      if (value === undefined) this.pending = option;
      else this.#note(option, value);
    } else {
      const next = this.passed === 0 ? this.command.commands.find((command) => command.name() === word) : undefined;
      if (next) this.command = next;
      else this.passed += 1;
    }
  }

  optionOf(flag: string): Option | undefined {
    return allOptions(this.command).find(({ long, short }) => flag === long || flag === short);
  }

  #note({ long }: Option, value: string): void {
    if (long) this.#globals[long.slice(2)] = value;
  }
}

function takesValue({ required, optional }: Option): boolean {
  return required || optional;
}

/** Returns the options of a command and of those above it. */
function allOptions(command: Command): Option[] {
  return [...command.options, ...(command.parent ? allOptions(command.parent) : [])];
}

function optionsOf(command: Command): Candidate[] {
  const shown = allOptions(command).filter(({ hidden, long }) => !hidden && long !== undefined);
  return [
    ...shown.map(({ long, description }) => ({ value: long as string, about: description })),
    { value: '--help', about: 'print help' },
  ];
}

function valuesOf({ long, argChoices }: Option, text: string): Pick<Completion, 'candidates' | 'names' | 'kept' | 'typed'> {
  const before = LISTS.has(long ?? '') ? text.slice(0, text.lastIndexOf(',') + 1) : '';
  const candidates = (argChoices ?? OPTION_VALUES[long ?? ''] ?? []).map((value) => ({ value, about: '' }));
  return { candidates, names: OPTION_NAMES[long ?? ''] ?? null, kept: before, typed: text.slice(before.length) };
}

/** Returns the subcommands of the command, or what its next argument may be. */
function placeOf({ command, passed }: Walk): Pick<Completion, 'candidates' | 'names'> {
  const commands = passed > 0 ? [] : command.createHelp().visibleCommands(command);
  const argument: Argument | undefined = command.registeredArguments[Math.min(passed, command.registeredArguments.length - 1)];
  const open = argument !== undefined && (passed < command.registeredArguments.length || argument.variadic);
  const choices = open ? (argument.argChoices ?? []) : [];
  return {
    candidates: [
      ...commands.map((one) => ({ value: one.name(), about: one.description() })),
      ...choices.map((value) => ({ value, about: '' })),
    ],
    names: open && (passed === 0 || argument.variadic) ? (ARGUMENT_NAMES[pathOf(command)] ?? null) : null,
  };
}

/** `task stop`. */
function pathOf(command: Command): string {
  return command.parent?.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
}

/** Returns the commands whose arguments are completed with names, for the test that holds them to the commands that exist. */
export function namedArguments(): string[] {
  return Object.keys(ARGUMENT_NAMES);
}
