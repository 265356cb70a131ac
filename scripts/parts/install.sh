# shellcheck shell=bash disable=SC2154,SC2034 # the variables of scripts/services
# What is missing on this machine, and how it gets there.

# patiently COMMAND...: a long command that a signal to this script ends at once.
patiently() {
  "$@" 9>&- &
  helper=$!
  wait $helper
  local status=$?
  helper=''
  return $status
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# install_packages PACKAGE...: the servers in them are not started, now or at the next
# boot: those that run here are our own.
install_packages() {
  local policy=/usr/sbin/policy-rc.d mine='' status=0 unit
  if ! command -v apt-get >/dev/null; then
    complain "there is no apt-get here to install: $*"
    return 1
  fi
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    complain "neither root nor sudo; let root run: apt-get install -y --no-install-recommends $*"
    return 1
  fi
  say "installing Debian packages: $*"
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
    mine=yes
  fi
  { patiently as_root apt-get update -q && patiently as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "$@"; } </dev/null >"$dir/install.log" 2>&1 || status=$?
  if [ -n "$mine" ]; then as_root rm -f $policy; fi
  if [ $status != 0 ]; then
    tail -n 20 "$dir/install.log" >&2
    complain "apt-get failed"
    return 1
  fi
  rm -f "$dir/install.log"
  if [ -d /run/systemd/system ]; then
    for unit in "$@"; do
      case $unit in redis-server | clickhouse-server) as_root systemctl disable -q "$unit" || true ;; esac
    done
  fi
}

# provide: everything that the wanted parts need is there, or a message says what to do.
provide() {
  local service
  packages=()
  fetch_jars=''
  for service in "${services[@]}"; do "need_$service"; done
  if [ ${#packages[@]} = 0 ] && [ -z "$fetch_jars" ]; then return 0; fi
  if [ -z "$install" ]; then
    complain "something is missing here. This installs it:"
    echo "  $given --install" >&2
    echo "or by hand:" >&2
    if [ ${#packages[@]} != 0 ]; then echo "  apt-get install -y --no-install-recommends ${packages[*]}" >&2; fi
    if [ -n "$fetch_jars" ]; then echo "  $(jars_command "$jars")" >&2; fi
    return 1
  fi
  if [ ${#packages[@]} != 0 ]; then install_packages "${packages[@]}" || return 1; fi
  if [ -n "$fetch_jars" ]; then install_jars || return 1; fi
  hash -r
}
