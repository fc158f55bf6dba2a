import type { Context } from './context.js';

/**
 * Each asks `vfio complete` by the name that was typed, and takes file names where that says nothing. bash takes colons for the
 * ends of words and wants only what is behind the last; so its words are made of the line anew.
 */
const scripts: Readonly<Record<string, string>> = {
  bash: `_vfio() {
  local line=\${COMP_LINE:0:COMP_POINT} words value
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  local current=\${words[-1]} before=
  [[ $COMP_WORDBREAKS == *:* && $current == *:* ]] && before=\${current%"\${current##*:}"}
  [[ $current == --*=* ]] && before=\${current%%=*}=
  COMPREPLY=()
  while IFS=$'\\t' read -r value _; do
    [[ -n $value ]] && COMPREPLY+=("\${value#"$before"}")
  done < <("$1" complete -- "\${words[@]:1}" 2> /dev/null)
}
complete -o bashdefault -o default -F _vfio vfio`,
  zsh: `#compdef vfio
_vfio() {
  local -a values descriptions
  local value description
  while IFS=$'\\t' read -r value description; do
    values+=("$value")
    descriptions+=("$value  $description")
  done < <("$words[1]" complete -- "\${(@)words[2,CURRENT]}" 2> /dev/null)
  if (( $#values )); then
    compadd -l -d descriptions -a values
  else
    _files
  fi
}
if [[ $funcstack[1] == _vfio ]]; then
  _vfio "$@"
else
  compdef _vfio vfio
fi`,
  fish: `function __vfio_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l lines ($words[1] complete -- $words[2..-1] 2> /dev/null)
  if count $lines > /dev/null
    printf '%s\\n' $lines
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c vfio -f -a '(__vfio_complete)'`,
};

export async function completion(context: Context, [shell = '']: string[]): Promise<void> {
  context.result({ shell, script: scripts[shell] }, () => scripts[shell] ?? '');
}
