# The broker: EMQX's users, with the rules of docs/security.md. It keeps its sessions as EMQX would while it runs.
set -eu
tail -n +2 /opt/emqx/etc/users.csv | cut -d , -f 1,2 | tr , : >/tmp/users
mosquitto_passwd -U /tmp/users
exec mosquitto -c /stand-in/mosquitto.conf
