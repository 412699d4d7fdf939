import { element } from '../dom.js';
import { type Outcome, runWithFeedback } from './feedback.js';

interface ActionOptions {
  readonly label: string;
  /** What it acts on, for screen readers: `Stop` of the task `7f31`. */
  readonly subject: string;
  readonly danger?: boolean;
  /** Resolves with the outcome to show beside the button; null shows nothing, such as after a cancelled dialog. */
  readonly run: () => Promise<Outcome | null>;
}

/**
 * Creates a button that changes something in the fleet. It is off while the page is stale, as is every button with the attribute
 * `data-writes`.
 */
export function actionButton({ label, subject, danger = false, run }: ActionOptions): HTMLButtonElement {
  const button: HTMLButtonElement = element(
    'button',
    { type: 'button', 'data-writes': true, ...(danger && { class: 'danger' }), click: () => void runWithFeedback(button, run) },
    label,
    element('span', { class: 'sr-only' }, ` ${subject}`),
  );
  return button;
}
