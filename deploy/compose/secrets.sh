#!/bin/sh
# Makes the passwords of docker-compose.yml, in secrets/ beside this file. Those that
# are there stay. The directory is its owner's alone; the files in it are not, for the
# programs in the containers, which are other users, must read them. So must they the
# files of this checkout that are mounted, whatever the umask it was made with.
set -eu
umask 022
cd "$(dirname "$0")"
mkdir -p secrets
chmod 700 secrets
chmod a+r nats.conf grafana/*.yaml ../nats/rescreen-permissions.conf ../monitoring/prometheus.yml ../helm/rescreen/files/alerts.yaml ../helm/rescreen/files/dashboard.json
chmod -R a+rX ../../testdata

for name in setup worker submitter consumer operator grafana; do
	if [ ! -s "secrets/$name-password" ]; then
		# 24 letters and digits; the letter in front keeps it from reading as a number.
		printf 'p%s\n' "$(LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c 24)" >"secrets/$name-password"
	fi
done

for name in setup worker submitter consumer operator; do
	printf '%s_PASSWORD: "%s"\n' "$(echo "$name" | tr 'a-z' 'A-Z')" "$(cat "secrets/$name-password")"
done >secrets/nats-passwords
