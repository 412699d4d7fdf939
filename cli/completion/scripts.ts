/** The shells that commands can be completed in. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/**
 * bash replaces only the part of the word after its last word break, which a colon is too: the candidates lose the rest. Without
 * candidates, it completes file names.
 */
const BASH = `# Completion of taskfleet for bash: source <(taskfleet completion bash)
_taskfleet() {
  local line typed="\${COMP_LINE:0:COMP_POINT}" IFS=$' \\t\\n'
  local word="\${typed##*[[:space:]]}"
  local kept="\${word%"\${word##*["$COMP_WORDBREAKS"]}"}"
  local -a words
  read -ra words <<<"$typed"
  [[ -n "$word" ]] || words+=('')
  COMPREPLY=()
  while IFS=$'\\t' read -r line _; do
    printf -v line '%q' "$line"
    COMPREPLY+=("\${line#"$kept"}")
  done < <("\${words[0]}" complete -- "\${words[@]:1}" 2>/dev/null)
}
complete -o default -F _taskfleet taskfleet
`;

const ZSH = `#compdef taskfleet
# Completion of taskfleet for zsh: source <(taskfleet completion zsh), after compinit; or save it as _taskfleet in a folder of $fpath.
_taskfleet() {
  local line name about
  local -a candidates
  while IFS=$'\\t' read -r name about; do
    candidates+=("\${name//:/\\\\:}:\${about}")
  done < <("\${(Q)words[1]}" complete -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)
  if (( \${#candidates} )); then _describe -V taskfleet candidates; else _files; fi
}
if [[ "\${funcstack[1]}" == _taskfleet ]]; then _taskfleet "$@"; else compdef _taskfleet taskfleet; fi
`;

const FISH = `# Completion of taskfleet for fish: taskfleet completion fish | source
function __taskfleet_complete
  set -l words (commandline -opc)
  $words[1] complete -- $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c taskfleet -f -a '(__taskfleet_complete)'
`;

const SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH, zsh: ZSH, fish: FISH };

/** Returns the script that makes a shell complete commands. It runs `taskfleet complete` at each Tab. */
export function scriptOf(shell: Shell): string {
  return SCRIPTS[shell];
}
