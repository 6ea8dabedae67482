# shellcheck shell=bash disable=SC2154
# Packages, in a way that leaves no service running and no service's user behind: only the `python3-*` libraries with
# their console scripts, and the api-paste files out of the `*-common` packages, which are unpacked and not installed.

PACKAGES=(python3-keystone python3-glance python3-placement python3-nova python3-cinder python3-neutron
  python3-openstacksdk uwsgi-core uwsgi-plugin-python3 rabbitmq-server mariadb-server mariadb-client
  qemu-utils openssl)

# as_root COMMAND...
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_packages() {
  local package missing=()
  command -v apt-get >/dev/null || die "this peer needs Debian's packages, and there is no apt-get"
  for package in "${PACKAGES[@]}"; do
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  # The machine may have no init: no package starts a daemon of its own now.
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod +x $policy
    made=1
  fi
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  local failed=
  { as_root "${apt[@]}" update && as_root "${apt[@]}" install -y --no-install-recommends \
    -o Dpkg::Options::=--force-unsafe-io "${missing[@]}"; } >"$STATE/log/apt.log" 2>&1 || failed=1
  [ -z "$made" ] || as_root rm "$policy"
  [ -z "$failed" ] || die_of "the packages (of Debian 12) cannot be installed" "$STATE/log/apt.log"
}

# Fetched once for all STATEs, and again after an upgrade.
unpack_paste_files() {
  local kept name
  kept=$CACHE/paste-$(dpkg-query --show --showformat='${Version}' python3-nova | tr -c 'a-zA-Z0-9.\n' -)
  if [ ! -e "$kept" ]; then
    local fresh=$kept.$$
    mkdir -p "$fresh/packages"
    chmod 777 "$fresh/packages" # apt fetches as a user of its own
    (
      cd "$fresh/packages" || exit
      fetch() { apt-get download -qq {nova,neutron,cinder,glance}-common >>"$STATE/log/apt.log" 2>&1; }
      fetch || { as_root apt-get update -qq >>"$STATE/log/apt.log" 2>&1 && fetch; } \
        || die_of "the packages with the api-paste files cannot be fetched" "$STATE/log/apt.log"
      for name in *.deb; do dpkg-deb -x "$name" .; done
      for name in nova neutron cinder; do cp "usr/share/$name-common/api-paste.ini" "$fresh/$name.ini"; done
      cp usr/share/glance-common/glance-api-paste.ini "$fresh/glance.ini"
      cp etc/cinder/resource_filters.json "$fresh/"
    )
    rm -r "$fresh/packages"
    mv "$fresh" "$kept"
  fi
  mkdir -p "$STATE/etc/paste"
  cp "$kept"/* "$STATE/etc/paste/"
}
