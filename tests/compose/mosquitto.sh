# The broker: EMQX's users, with the rules of docs/security.md, and its listener on 1884 (Mosquitto 2.0 knows no PROXY protocol). It keeps its sessions as EMQX would while it runs.
set -eu
tail -n +2 /opt/emqx/etc/users.csv | cut -d , -f 1,2 | tr , : >/tmp/users
mosquitto_passwd -U /tmp/users
haproxy -D -f /stand-in/listener.cfg
exec mosquitto -c /stand-in/mosquitto.conf
