# shellcheck shell=bash disable=SC2154
# MariaDB and RabbitMQ, and once in the life of a STATE the services' schemas.

SQL=(mariadb --no-defaults -uroot --socket="$STATE/run/mysql.sock")
declare -A SCHEMAS=()

start_base() {
  say "starting MariaDB and RabbitMQ"
  [ -d "$STATE/db/mysql" ] || mariadb-install-db --no-defaults --user="$(id -un)" --datadir="$STATE/db" --skip-test-db \
    --auth-root-authentication-method=normal >"$STATE/log/mariadb-install.log" 2>&1
  # Nothing here must outlive a power cut.
  start mariadb mariadbd --no-defaults --user="$(id -un)" --datadir="$STATE/db" --socket="$STATE/run/mysql.sock" \
    --pid-file="$STATE/run/mariadbd" --skip-networking --skip-log-bin --max-connections=500 --innodb-doublewrite=0 \
    --innodb-flush-log-at-trx-commit=0 --innodb-flush-method=nosync --innodb-stats-persistent=0
  echo '[].' >"$STATE/rabbit/enabled_plugins"
  : >"$STATE/rabbit/rabbitmq.conf"
  # Erlang's own listeners stay on loopback too.
  start epmd env ERL_EPMD_ADDRESS="$IP" epmd
  start rabbitmq env HOME="$STATE/rabbit" ERL_EPMD_ADDRESS="$IP" RABBITMQ_NODENAME=rabbit@localhost \
    RABBITMQ_NODE_IP_ADDRESS="$IP" RABBITMQ_MNESIA_BASE="$STATE/rabbit" RABBITMQ_LOG_BASE="$STATE/log" \
    RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_ALLOW_INPUT=1 RABBITMQ_CONFIG_FILE="$STATE/rabbit/rabbitmq" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$STATE/rabbit/enabled_plugins" \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-noinput -kernel inet_dist_use_interface {127,0,0,1}" \
    /usr/lib/rabbitmq/bin/rabbitmq-server
  until "${SQL[@]}" --execute 'select 1' >/dev/null 2>&1; do
    alive mariadb || die_of "MariaDB has ended" "$STATE/log/mariadb.log"
    sleep 0.3
  done
}

# Begins all at once, and returns when Keystone's is there.
begin_schemas() {
  [ ! -e "$STATE/etc/.schemas" ] || return 0
  say "creating schemas"
  local database
  for database in keystone glance placement nova_api nova_cell0 nova_cell1 cinder neutron; do
    echo "create database if not exists $database character set utf8mb3;"
  done | "${SQL[@]}"
  local etc=$STATE/etc
  in_background neutron manage neutron-db-manage neutron.db.migration.cli "$etc/neutron.conf" upgrade heads
  in_background nova "$PYTHON" "$here/lib/nova_schemas.py" --config-file "$etc/nova.conf" --config-file "$etc/nova-db.conf"
  in_background others other_schemas
  keystone_schema >"$STATE/log/schema-keystone.log" 2>&1 || die_of "Keystone's schema failed" "$STATE/log/schema-keystone.log"
}

# in_background NAME COMMAND...
in_background() {
  local name=$1
  shift
  "$@" >"$STATE/log/schema-$name.log" 2>&1 &
  SCHEMAS[$name]=$!
}

# manage NAME MODULE FILE ARGUMENTS...
manage() {
  "$PYTHON" -c "$(console_script "$1" "$2")" --config-file "${@:3}"
}

other_schemas() {
  manage cinder-manage cinder.cmd.manage "$STATE/etc/cinder.conf" db sync \
    && manage glance-manage glance.cmd.manage "$STATE/etc/glance.conf" db_sync \
    && manage placement-manage placement.cmd.manage "$STATE/etc/placement/placement.conf" db sync
}

keystone_schema() {
  local keystone=(keystone-manage --config-file "$STATE/etc/keystone/keystone.conf")
  local me=(--keystone-user "$(id -un)" --keystone-group "$(id -gn)")
  "${keystone[@]}" db_sync \
    && "${keystone[@]}" fernet_setup "${me[@]}" \
    && "${keystone[@]}" credential_setup "${me[@]}" \
    && "${keystone[@]}" bootstrap --bootstrap-password "$(cat "$STATE/etc/secret")" --bootstrap-region-id RegionOne \
      --bootstrap-{admin,public,internal}-url="http://$IP:5000/v3"
}

await_schemas() {
  [ ! -e "$STATE/etc/.schemas" ] || return 0
  local name
  for name in "${!SCHEMAS[@]}"; do
    wait "${SCHEMAS[$name]}" || die_of "the schema of $name failed" "$STATE/log/schema-$name.log"
  done
  touch "$STATE/etc/.schemas"
}
