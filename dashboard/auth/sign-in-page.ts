export interface SignInPage {
  /** The dashboard's mount point. */
  readonly basePath: string;
  /** The page to open after the sign-in. */
  readonly next: string;
  /** The error of the previous attempt. */
  readonly problem: string | null;
}

/** Renders the sign-in form, which works without scripts. */
export function signInPage({ basePath, next, problem }: SignInPage): string {
  const alert = problem === null ? '' : `\n      <p class="problem" id="problem" role="alert">${escape(problem)}</p>`;
  const described = problem === null ? 'aria-describedby="hint"' : 'aria-describedby="problem hint" aria-invalid="true"';
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Sign in · taskfleet</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="${escape(basePath)}/sign-in.css">
</head>
<body>
  <main>
    <h1>taskfleet</h1>
    <form method="post" action="${escape(basePath)}/sign-in">${alert}
      <label for="token">Token</label>
      <input id="token" name="token" type="password" required autofocus
        autocomplete="current-password" spellcheck="false" maxlength="8192" ${described}>
      <p class="hint" id="hint">Your access token for this fleet. The session lasts up to 12 hours.</p>
      <input type="hidden" name="next" value="${escape(next)}">
      <button type="submit">Sign in</button>
    </form>
  </main>
</body>
</html>
`;
}

export const SIGN_IN_STYLE = `:root {
  color-scheme: light dark; --text: #1a1d21; --soft: #555c66; --page: #f6f7f9; --card: #fff; --line: #868e99; --accent: #0b57d0;
  --on-accent: #fff; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --text: #e7e9ec; --soft: #a9b0ba; --page: #14171a; --card: #1e2226; --line: #7b838e; --accent: #a8c7fa; --on-accent: #062e6f;
    --bad: #ffb4ab;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif;
}
main { width: 100%; max-width: 24rem; }
h1 { margin: 0 0 1rem; font-size: 1.5rem; }
form { padding: 1.5rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--card); }
label { display: block; margin-bottom: .25rem; font-weight: 600; }
input {
  width: 100%; padding: .6rem .75rem; border: 1px solid var(--line); border-radius: .375rem; background: var(--page); color: inherit;
  font: inherit;
}
button {
  width: 100%; padding: .6rem .75rem; border: 0; border-radius: .375rem; background: var(--accent); color: var(--on-accent);
  font: inherit; font-weight: 600; cursor: pointer;
}
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.hint { margin: .5rem 0 1rem; color: var(--soft); font-size: .875rem; }
.problem { margin: 0 0 1rem; color: var(--bad); font-weight: 600; }
`;

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
