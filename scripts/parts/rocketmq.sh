# shellcheck shell=bash disable=SC2154,SC2034 # the variables of scripts/services
# RocketMQ: a name server and one broker, in Java. The broker flushes each record before
# it answers. Everything is on loopback except the broker's port for replicas, which has
# no setting for that; nothing replicates from it.

rocketmq_version=$(sed -n 's|.*<rocketmq.version>\(.*\)</rocketmq.version>.*|\1|p' "$library/../rocketmq/pom.xml")
jars=${XDG_CACHE_HOME:-$HOME/.cache}/gannet/rocketmq-$rocketmq_version

need_rocketmq() {
  command -v java >/dev/null || packages+=(default-jdk-headless)
  [ -d "$jars" ] && return
  fetch_jars=yes
  command -v mvn >/dev/null || packages+=(maven)
}

jars_command() {
  echo mvn -q -B -Dstyle.color=never --strict-checksums -f "$(realpath "$library/../rocketmq/pom.xml")" dependency:copy-dependencies "-DoutputDirectory=$1"
}

# install_jars: the folder has its name only when it is whole.
install_jars() {
  local fresh fetch
  mkdir -p "$(dirname "$jars")"
  fresh=$(mktemp -d "$jars.XXXXXX") || return 1
  scratch+=("$fresh")
  read -ra fetch <<<"$(jars_command "$fresh/lib")"
  say "fetching the jars of RocketMQ $rocketmq_version by maven, once: some 90 MB"
  patiently "${fetch[@]}" || { complain "maven failed"; return 1; }
  mv -T "$fresh/lib" "$jars" 2>/dev/null || [ -d "$jars" ]
}

# java_start NAME HEAP CLASS CONFIG: what it writes lies in its folder, logs and temporary
# files included.
java_start() {
  local at=$dir/$1
  mkdir -p "$at/tmp"
  cat >"$at/start" <<START
exec java $2 -XX:+UseG1GC -XX:-UsePerfData \\
  --add-exports java.base/jdk.internal.ref=ALL-UNNAMED --add-opens java.base/java.nio=ALL-UNNAMED \\
  --add-opens java.base/sun.nio.ch=ALL-UNNAMED --add-opens java.base/jdk.internal.misc=ALL-UNNAMED \\
  -Drocketmq.broker.diskSpaceWarningLevelRatio=0.98 -Drocketmq.broker.diskSpaceCleanForciblyRatio=0.97 \\
  -Djava.io.tmpdir=$(printf %q "$at/tmp") -Duser.home=$(printf %q "$at") -Drocketmq.home.dir=$(printf %q "$at") \\
  -cp $(printf %q "$jars")/'*' $3 -c ./$4
START
}

write_nameserver() {
  claim nameserver "$nameserver_port" || return 1
  mkdir -p "$dir/$1"
  cat >"$dir/$1/nameserver.conf" <<CONF
listenPort=$(port nameserver)
bindAddress=127.0.0.1
CONF
  java_start nameserver "-Xms64m -Xmx128m" org.apache.rocketmq.namesrv.NamesrvStartup nameserver.conf
}

# The broker's other two ports are at fixed distances: 2 below for clients that ask for
# it, 1 above for replicas.
write_broker() {
  claim broker "$broker_port" -2 1 || return 1
  mkdir -p "$dir/$1/data"
  cat >"$dir/$1/broker.conf" <<CONF
brokerClusterName=gannet
brokerName=broker
brokerId=0
brokerIP1=127.0.0.1
bindAddress=127.0.0.1
listenPort=$(port broker)
haListenPort=$(($(port broker) + 1))
namesrvAddr=127.0.0.1:$(port nameserver)
brokerRole=ASYNC_MASTER
flushDiskType=$flush
autoCreateTopicEnable=false
autoCreateSubscriptionGroup=true
storePathRootDir=$dir/$1/data
storePathCommitLog=$dir/$1/data/commitlog
mappedFileSizeCommitLog=268435456
timerWheelEnable=false
waitTimeMillsInSendQueue=1000
registerNameServerPeriod=10000
CONF
  java_start broker "-Xms768m -Xmx768m" org.apache.rocketmq.broker.BrokerStartup broker.conf
}

# request PORT CODE FIELDS: one request in RocketMQ's remoting protocol: the length of
# what follows, the length of the header, the header in JSON. Prints header and body.
request() {
  local header length
  header="{\"code\":$2,\"language\":\"OTHER\",\"version\":0,\"opaque\":1,\"flag\":0,\"extFields\":{$3}}"
  length=${#header}
  (
    exec 8<>"/dev/tcp/127.0.0.1/$1" || exit 1
    # shellcheck disable=SC2059 # the format is the bytes of the two lengths
    printf "$(printf '\\x%02x' 0 0 $(((length + 4) / 256)) $(((length + 4) % 256)) 0 0 $((length / 256)) $((length % 256)))%s" "$header" >&8
    read -ra size <<<"$(timeout 3 head -c 4 <&8 | od -An -tu1)"
    [ ${#size[@]} = 4 ] || exit 1
    timeout 3 head -c $(((size[0] * 256 + size[1]) * 65536 + size[2] * 256 + size[3])) <&8 | tr -d '\0'
  ) 2>/dev/null
}

# answers_nameserver: it tells of its cluster (106).
answers_nameserver() { request "$(port nameserver)" 106 "" | grep -q '"code":0[,}]'; }

# answers_broker: it tells of itself (28), and the name server has a route (105) to it.
answers_broker() {
  request "$(port broker)" 28 "" | grep -q '"code":0[,}]' &&
    request "$(port nameserver)" 105 '"topic":"SELF_TEST_TOPIC"' | grep -qF "127.0.0.1:$(port broker)"
}
