# shellcheck shell=bash disable=SC2154,SC2034 # the variables of scripts/services
# Redis: one server, and the three masters of a Redis Cluster. They never evict; what
# was written is in the append-only file.

need_redis() {
  command -v redis-server >/dev/null || packages+=(redis-server)
  if wants cluster1 && ! command -v redis-cli >/dev/null; then packages+=(redis-tools); fi
}

need_redis-cluster() { need_redis; }

# write_redis NAME: also for the nodes of the cluster, whose second port is for each other.
write_redis() {
  local at=$dir/$1
  if [ "$1" = redis ]; then claim redis "$redis_port"; else claim "$1" "" 10000; fi || return 1
  mkdir -p "$at/data"
  cat >"$at/redis.conf" <<CONF
bind 127.0.0.1
port $(port "$1")
dir "$at/data"
daemonize no
save ""
appendonly yes
appendfsync $fsync
maxmemory-policy noeviction
CONF
  # The map of the cluster lies outside of the data: a node that lost its data is still one.
  [ "$1" = redis ] || cat >>"$at/redis.conf" <<CONF
cluster-enabled yes
cluster-config-file "$at/nodes.conf"
cluster-node-timeout 20000
CONF
  echo 'exec redis-server ./redis.conf' >"$at/start"
}

# ask PORT COMMAND...: what a Redis answers, without its carriage returns.
ask() {
  local port=$1 line
  shift
  (
    exec 8<>"/dev/tcp/127.0.0.1/$port" || exit 1
    printf '%s\r\n' "$*" >&8
    read -r -t 3 line <&8 || exit 1
    echo "${line%$'\r'}"
    [[ $line == '$'* ]] || exit 0
    timeout 3 head -c "$(tr -dc 0-9 <<<"$line")" <&8 | tr -d '\r'
  ) 2>/dev/null
}

answers_redis() {
  [ "$(ask "$(port "$1")" PING)" = +PONG ] || return 1
  [ "$1" = redis ] || [ ! -e "$dir/clustered" ] || ask "$(port "$1")" CLUSTER INFO | grep -qx cluster_state:ok
}

# join_cluster: makes the three nodes one cluster, once.
join_cluster() {
  local nodes=() name
  [ ! -e "$dir/clustered" ] || return 0
  for name in cluster1 cluster2 cluster3; do nodes+=("127.0.0.1:$(port $name)"); done
  if ! redis-cli --cluster create "${nodes[@]}" --cluster-yes >"$dir/cluster1/create.log" 2>&1; then
    complain "the Redis Cluster could not be made:"
    tail -n 20 "$dir/cluster1/create.log" >&2
    return 1
  fi
  touch "$dir/clustered"
}
