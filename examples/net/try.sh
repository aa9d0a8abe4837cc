#!/bin/sh
# try.sh HOSTS: runs the program as owner and as waiter, with a server of its own. Ends with 77 if there is none.
set -eu
hosts=$1
PATH=$PATH:/usr/sbin
command -v nats-server >/dev/null || { echo "there is no nats-server here"; exit 77; }
folder=$(mktemp -d)
nats-server -js -sd "$folder" -a 127.0.0.1 -p -1 --ports_file_dir "$folder" >"$folder/log" 2>&1 &
server=$!
trap 'kill $server; wait $server 2>/dev/null || true; rm -rf "$folder"' EXIT
ports=$folder/nats-server_$server.ports
until [ -s "$ports" ]; do
  kill -0 "$server"
  sleep 0.1
done
url=$(sed -n 's/.*"\(nats:[^"]*\)".*/\1/p' "$ports" | head -n 1)

"$hosts" waiter "$url" >"$folder/waiter" &
waiter=$!
"$hosts" owner "$url"
wait "$waiter"
cat "$folder/waiter"
