# shellcheck shell=bash disable=SC2154,SC2034 # the variables of scripts/services
# Ports: which are free, which a part has, who listens on one. $dir/ports keeps them, a
# line "NAME PORT" each, so that a part that is started again has the same.

# port NAME: the port of a part.
port() { awk -v name="$1" '$1 == name {print $2}' "$dir/ports" 2>/dev/null; }

# keep_port NAME PORT
keep_port() {
  { awk -v name="$1" '$1 != name' "$dir/ports" 2>/dev/null; echo "$1 $2"; } >"$dir/ports.new"
  mv "$dir/ports.new" "$dir/ports"
}

sockets() { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null; }

# listening PORT: the inodes of the sockets that listen on it.
listening() {
  sockets | awk -v port="$(printf ':%04X' "$1")" '$4 == "0A" && substr($2, length($2) - 4) == port {print $10}'
}

# listens PID PORT: whether it is this process that listens. Of a program that has
# capabilities only root may see that; then it is enough that one listens.
listens() {
  local inode
  if ! ls "/proc/$1/fd" >/dev/null 2>&1; then
    [ -n "$(listening "$2")" ]
    return
  fi
  for inode in $(listening "$2"); do
    # shellcheck disable=SC2010 # the names are numbers, what counts is where they point
    ls -l "/proc/$1/fd" 2>/dev/null | grep -qF "socket:[$inode]" && return 0
  done
  return 1
}

# free PORT: no socket of this machine has it.
free() {
  ! sockets | awk -v port="$(printf ':%04X' "$1")" 'substr($2, length($2) - 4) == port {found = 1} END {exit !found}'
}

# pick OFFSET...: a port that is free together with those at these distances from it. It
# lies below the ports that the kernel gives to connections, else a connection could have
# it while its server is restarted.
pick() {
  local candidate offset
  for _ in $(seq 200); do
    candidate=$((10000 + (RANDOM * 32768 + RANDOM) % 12000))
    for offset in 0 "$@"; do
      free $((candidate + offset)) || continue 2
      ! grep -q " $((candidate + offset))\$" "$dir/ports" 2>/dev/null || continue 2
    done
    echo "$candidate"
    return
  done
  complain "no free port found"
  return 1
}

# claim NAME CONFIGURED OFFSET...: settles the port of a part: the one it had, the
# configured one or a free one. OFFSETs are further ports that the server takes.
claim() {
  local name=$1 configured=$2 wanted offset
  shift 2
  wanted=${configured:-$(port "$name")}
  if [ -z "$wanted" ]; then
    wanted=$(pick "$@") || return 1
  fi
  for offset in 0 "$@"; do
    if [ -n "$(listening $((wanted + offset)))" ]; then
      complain "port $((wanted + offset)), which $name needs, is in use"
      return 1
    fi
  done
  keep_port "$name" "$wanted"
}
