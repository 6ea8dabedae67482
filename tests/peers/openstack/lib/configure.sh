# shellcheck shell=bash disable=SC2154
# Writes STATE/etc from our own etc/: @STATE@, @SECRET@, @NAME@ and @SQL:DATABASE@ are filled in; @AUTH@ is
# etc/auth.conf, as whom a service checks tokens and calls its neighbours. What all services share is etc/shared.conf, put
# before each one's own.

configure() {
  say "configuring"
  [ -s "$STATE/etc/secret" ] || (umask 077 && openssl rand -hex 12 >"$STATE/etc/secret")
  rm -rf "$STATE/python"
  cp -r "$here/python" "$STATE/python"
  mkdir -p "$STATE"/etc/{keystone,placement} "$STATE"/lib/{nova,cinder,neutron} "$STATE"/lib/glance/{staging,tasks}
  local name
  for name in glance nova cinder neutron; do fill "$name" shared "$name" >"$STATE/etc/$name.conf"; done
  fill nova nova-db >"$STATE/etc/nova-db.conf"
  fill keystone keystone >"$STATE/etc/keystone/keystone.conf"
  fill placement shared placement >"$STATE/etc/placement/placement.conf"
}

# fill NAME FILE...
fill() {
  local name=$1 files
  shift
  files=("${@/#/$here/etc/}")
  cat "${files[@]/%/.conf}" | sed -e "/^@AUTH@\$/{r $here/etc/auth.conf" -e 'd}' \
    | sed -E -e "s|@STATE@|$STATE|g" -e "s|@NAME@|$name|g" -e "s|@SECRET@|$(cat "$STATE/etc/secret")|g" \
    -e "s|@SQL:([a-z_0-9]+)@|$(sql_url '\1')|g"
}

# sql_url DATABASE
sql_url() {
  echo "mysql+pymysql://root@localhost/$1?unix_socket=$STATE/run/mysql.sock\&charset=utf8mb4"
}
