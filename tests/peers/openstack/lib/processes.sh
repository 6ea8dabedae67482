# shellcheck shell=bash disable=SC2154
# Processes, each in a group of its own, known by STATE/run/NAME.pid, with its output in STATE/log/NAME.log.

# alive NAME: a pid may have become another's, so the process must also work in our folder. Titles and environments do
# not serve: neutron-server rewrites both.
alive() {
  local pid
  pid=$(cat "$STATE/run/$1.pid" 2>/dev/null) || return 1
  case $(readlink "/proc/$pid/cwd")/ in "$STATE"/*) ;; *) return 1 ;; esac
}

# start NAME COMMAND...
start() {
  local name=$1
  shift
  ! alive "$name" || return 0
  setsid nohup "$@" >>"$STATE/log/$name.log" 2>&1 </dev/null &
  echo $! >"$STATE/run/$name.pid"
}

# console_script NAME MODULE: what setuptools would write; not every package has the script, and none the same place.
console_script() {
  echo "import sys; sys.argv[0] = '$1'; from $2 import main; sys.exit(main())"
}

# start_python NAME MODULE CONFIGURATION...
start_python() {
  local name=$1 module=$2 files=() configuration
  shift 2
  for configuration in "$@"; do files+=(--config-file "$STATE/etc/$configuration.conf"); done
  start "$name" "$PYTHON" -c "$(console_script "$name" "$module")" "${files[@]}"
}

# start_wsgi NAME PORT SCRIPT VARIABLE=VALUE...
start_wsgi() {
  local name=$1 port=$2 script=$3
  shift 3
  # uwsgi closes each connection; unless it says so, clients that pool connections meet a reset now and then.
  start "$name" env "$@" uwsgi --plugin python3 --http-socket "$IP:$port" --wsgi-file "$script" --need-app --lazy-apps \
    --master --processes 1 --threads 4 --die-on-term --buffer-size 65535 --disable-logging --add-header 'Connection: close'
}

# listens PORT
listens() {
  (exec 3<>"/dev/tcp/$IP/$1") 2>/dev/null
}

# await NAME PORT: until it listens, or to tell that it has ended.
await() {
  for _ in $(seq 600); do
    ! listens "$2" || return 0
    alive "$1" || die_of "$1 has ended" "$STATE/log/$1.log"
    sleep 0.2
  done
  die_of "$1 does not listen on port $2 after two minutes" "$STATE/log/$1.log"
}

# once NAME COMMAND...: in the life of this STATE.
once() {
  local marker=$STATE/etc/.$1
  shift
  [ ! -e "$marker" ] || return 0
  "$@"
  touch "$marker"
}

# seed STEP
seed() {
  "$PYTHON" "$here/seed.py" "$STATE" "$1" >>"$STATE/log/seed.log" 2>&1 \
    || die_of "seed.py $1 failed" "$STATE/log/seed.log"
}
