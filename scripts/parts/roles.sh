# shellcheck shell=bash disable=SC2154,SC2034 # the variables of scripts/cluster
# The roles of gannet as parts: gateway1, gateway2, … Each has one port that stays the
# same when it is started again: a gateway that for clients, the others that for nodes.

role_of() { echo "${1%%[0-9]*}"; }

# toml WORD...: a list of strings.
toml() {
  local list=''
  while [ $# != 0 ]; do
    list+="\"$1\"${2:+, }"
    shift
  done
  echo "[$list]"
}

# write_settings: one file for all roles.
write_settings() {
  local redis_list rocketmq_list clickhouse_list
  IFS=, read -ra redis_list <<<"$redis"
  IFS=, read -ra rocketmq_list <<<"$rocketmq"
  IFS=, read -ra clickhouse_list <<<"$clickhouse"
  (
    umask 077
    cat >"$dir/gannet.toml" <<CONF
cluster = "$name"
redis = $(toml "${redis_list[@]}")
rocketmq = $(toml "${rocketmq_list[@]}")
clickhouse = $(toml "${clickhouse_list[@]}")
debug = "127.0.0.1:0"

[logic]
queues = $queues
keys = "$dir/data/keys"
CONF
  )
}

# write_role NAME
write_role() {
  local flag=--rpc-listen
  if [ "$(role_of "$1")" = gateway ]; then flag=--listen; fi
  claim "$1" "" || return 1
  mkdir -p "$dir/$1"
  cat >"$dir/$1/start" <<START
rm -f ./ready
exec $(printf %q "$program") $(role_of "$1") --config ../gannet.toml $flag 127.0.0.1:$(port "$1") --ready-file ./ready
START
}

# answers_role NAME: it has said itself that it is ready; the file of a process that was
# killed is not its own.
answers_role() {
  local pid
  pid=$(pid_of "$1") && grep -q "\"pid\": *$pid\b" "$dir/$1/ready" 2>/dev/null
}
