# shellcheck shell=bash disable=SC2154,SC2034 # the variables of scripts/services
# Processes: how a part is launched, recognised and stopped. $dir is the run's directory;
# each part has a folder in it with `start` (what becomes the server), `pid` and `log`.

read -r boot </proc/sys/kernel/random/boot_id

# born PID: what tells a process from a later one with the same number. Fails for one
# that has ended, also where its parent has not taken notice of that.
born() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  # The name in brackets may hold anything, so the fields are counted from its end.
  read -ra stat <<<"${stat##*) }"
  [[ ${stat[0]} != [ZX] ]] && echo "${stat[19]}@$boot"
}

# pid_of NAME: the part's process, if it lives.
pid_of() {
  local pid birth
  { read -r pid birth <"$dir/$1/pid"; } 2>/dev/null || return 1
  [ -n "$birth" ] && [ "$(born "$pid")" = "$birth" ] && echo "$pid"
}

# launch NAME: the process writes its pid itself before it becomes the server, so there
# is no server that a later `down` cannot find, wherever this script is killed.
launch() {
  local at=$dir/$1 limit=$((SECONDS + 20))
  rm -f "$at/pid"
  # shellcheck disable=SC2016 # the new shell expands it
  setsid bash -c '
    . "$2/process.sh"
    printf "%s %s\n" $$ "$(born $$)" >"$1/pid.new" && mv "$1/pid.new" "$1/pid" && cd "$1" && . ./start
  ' bash "$at" "$library" >>"$at/log" 2>&1 </dev/null 9>&- &
  disown
  until [ -e "$at/pid" ]; do
    [ $SECONDS -lt $limit ] || { complain "$1 could not be started: see $at/log"; return 1; }
    sleep 0.02
  done
}

# gone NAME SECONDS: waits until the part's process has ended.
gone() {
  local limit=$(($(date +%s%N) + $2 * 1000000000))
  while pid_of "$1" >/dev/null; do
    [ "$(date +%s%N)" -lt $limit ] || return 1
    sleep 0.05
  done
}

# stop NAME...: asks all to end, then insists.
stop() {
  local name pid
  for name in "$@"; do
    pid=$(pid_of "$name") || continue
    # A stopped process hears of SIGTERM only when it goes on.
    kill -TERM "$pid" 2>/dev/null && kill -CONT "$pid" 2>/dev/null
  done
  for name in "$@"; do
    if ! gone "$name" "$patience" && pid=$(pid_of "$name"); then
      say "$name did not end within $patience s of SIGTERM: SIGKILL"
      kill -KILL "$pid" 2>/dev/null
      gone "$name" 20 || { complain "$name (pid $pid) cannot be ended"; return 1; }
    fi
    rm -f "$dir/$name/pid"
  done
}

# await NAME: waits until the part answers; an end of its process is noticed at once.
await() {
  local name=$1 began=$SECONDS told=$SECONDS pid
  while true; do
    if ! pid=$(pid_of "$name"); then
      complain "$name ended before it answered; its log ($dir/$name/log) ends with:"
      tail -n 20 "$dir/$name/log" >&2
      return 1
    fi
    # Another server may hold the port: only an answer of this process counts.
    if answers "$name" && listens "$pid" "$(port "$name")"; then
      say "$(printf '%-11s answers at 127.0.0.1:%s (pid %s)' "$name" "$(port "$name")" "$pid")"
      return 0
    fi
    if [ $((SECONDS - began)) -ge "$limit" ]; then
      complain "$name does not answer after $limit s; its log ($dir/$name/log) ends with:"
      tail -n 20 "$dir/$name/log" >&2
      return 1
    fi
    if [ $((SECONDS - told)) -ge 5 ]; then
      told=$SECONDS
      say "$(printf '%-11s no answer yet (%s s of %s)' "$name" $((SECONDS - began)) "$limit")"
    fi
    sleep 0.1
  done
}
