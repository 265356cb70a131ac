# shellcheck shell=bash disable=SC2154,SC2034 # the variables of scripts/services
# ClickHouse with a configuration of its own that 18.16 and current versions read: small,
# loopback only, no system log tables, everything below its folder.

need_clickhouse() {
  command -v clickhouse >/dev/null || command -v clickhouse-server >/dev/null || packages+=(clickhouse-server)
}

clickhouse_command() {
  if command -v clickhouse-server >/dev/null; then echo clickhouse-server; else echo clickhouse server; fi
}

write_clickhouse() {
  local at=$dir/$1 element=clickhouse version
  claim clickhouse "$clickhouse_port" || return 1
  claim clickhouse-http "" || return 1
  mkdir -p "$at/data" "$at/tmp"
  # Versions before 21.10 know the outermost element by another name.
  version=$($(clickhouse_command) --version 2>/dev/null | grep -o '[0-9][0-9]*\.[0-9][0-9]*' | head -n 1)
  [ "${version%%.*}" -ge 22 ] 2>/dev/null || element=yandex
  cat >"$at/config.xml" <<CONF
<$element>
  <logger><level>warning</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <tcp_port>$(port clickhouse)</tcp_port>
  <http_port>$(port clickhouse-http)</http_port>
  <path>$at/data/</path>
  <tmp_path>$at/tmp/</tmp_path>
  <user_files_path>$at/data/user_files/</user_files_path>
  <format_schema_path>$at/data/format_schemas/</format_schema_path>
  <users_config>$at/users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <timezone>UTC</timezone>
  <max_concurrent_queries>100</max_concurrent_queries>
  <mark_cache_size>67108864</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <max_server_memory_usage>2000000000</max_server_memory_usage>
</$element>
CONF
  cat >"$at/users.xml" <<CONF
<$element>
  <profiles><default><max_memory_usage>1000000000</max_memory_usage></default></profiles>
  <quotas><default></default></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </default>
  </users>
</$element>
CONF
  # Without its watchdog the process that is started is the server itself.
  echo "export CLICKHOUSE_WATCHDOG_ENABLE=0; exec $(clickhouse_command) --config-file=./config.xml" >"$at/start"
}

# answers_clickhouse: a query by HTTP and a greeting on the port for native clients.
answers_clickhouse() {
  local answer
  answer=$(
    exec 2>/dev/null
    exec 8<>"/dev/tcp/127.0.0.1/$(port clickhouse-http)" || exit 1
    printf 'GET /?query=SELECT%%206*7 HTTP/1.0\r\n\r\n' >&8
    timeout 3 cat <&8 | tr -d '\r' | tail -n 1
  )
  [ "$answer" = 42 ] || return 1
  # Hello of a client: name, version 1.1, a revision before the optional fields, database,
  # user, no password. The server's hello begins with 0, an exception with 2.
  answer=$(
    exec 2>/dev/null
    exec 8<>"/dev/tcp/127.0.0.1/$(port clickhouse)" || exit 1
    printf '\0\6gannet\1\1\252\246\3\7default\7default\0' >&8
    timeout 3 head -c 1 <&8 | od -An -tu1 | tr -d ' '
  )
  [ "$answer" = 0 ]
}
