# shellcheck shell=bash disable=SC2154 # the variables of scripts/services and scripts/cluster
# What there is in a directory of a script with parts: $script is its name, $dir/parts
# names the parts, answers NAME says whether one does its work.

# here_are: the parts that this directory has, those that others need last.
here_are() { tac "$dir/parts" 2>/dev/null; }

running() {
  local name
  for name in $(here_are); do
    if pid_of "$name" >/dev/null; then echo "$name"; fi
  done
}

# lock: one up or down at a time. The file is also what tells a directory of ours.
lock() {
  exec 9>>"$dir/.gannet-$script"
  flock -n 9 || { complain "another up or down is at work in $dir"; exit 1; }
}

# status fails if a part does not answer.
status() {
  local name pid state failed=0
  if [ ! -e "$dir/parts" ]; then
    say "nothing is up in $dir"
    return 1
  fi
  for name in $(tac "$dir/parts" | tac); do
    if ! pid=$(pid_of "$name"); then
      state="has ended" pid=-
    elif answers "$name" && listens "$pid" "$(port "$name")"; then
      state=answers
    else
      state="does not answer"
    fi
    [ "$state" = answers ] || failed=1
    printf '%-11s 127.0.0.1:%-6s pid %-8s %s\n' "$name" "$(port "$name")" "$pid" "$state"
  done
  return $failed
}

# one NAME: refuses what is no part of this directory.
one() {
  [ $# = 1 ] || refuse "$command needs the name of a part"
  grep -qx -- "$1" "$dir/parts" 2>/dev/null || refuse "$dir has no part $1: $(paste -sd ' ' "$dir/parts" 2>/dev/null)"
}

signal() {
  local pid
  pid=$(pid_of "$1") || { complain "$1 does not run"; return 1; }
  kill -s "${2#SIG}" "$pid" || return 1
  case ${2#SIG} in
  KILL | TERM | 9 | 15) gone "$1" 60 || { complain "$1 (pid $pid) did not end within 60 s of $2"; return 1; } ;;
  esac
}
