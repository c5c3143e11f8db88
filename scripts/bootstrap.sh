#!/bin/bash
# Installs what building, testing and the lab need on Debian 12. Asks nothing, touches nothing that is
# already there, and takes a second when nothing is missing. Needs root only to install. --full: also
# what only the long tests need, a browser (120 MB).
set -euo pipefail

build=(meson ninja-build ccache pkg-config g++ clang lld libclang-rt-14-dev python3
       libdpdk-dev libhyperscan-dev libconfig-dev libsodium-dev libssl-dev libcurl4-openssl-dev libfmt-dev
       libcli11-dev
       nlohmann-json3-dev libgtest-dev libgmock-dev libbenchmark-dev)
lab=(nginx-light haproxy wrk apache2-utils curl iproute2 iputils-ping ethtool nftables procps util-linux
     openssl prometheus)
case ${1:-} in
  '') ;;
  --full) lab+=(chromium) ;;
  *) echo "usage: scripts/bootstrap.sh [--full]" >&2; exit 2 ;;
esac

command -v dpkg-query >/dev/null || {
  echo "bootstrap: this is not a Debian system; install by hand: ${build[*]} ${lab[*]}" >&2
  exit 2
}

missing=()
for package in "${build[@]}" "${lab[@]}"; do
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
    missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  echo "bootstrap: nothing to install"
  exit 0
fi
((EUID == 0)) || { echo "bootstrap: needs root to install: ${missing[*]}" >&2; exit 2; }

work=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
own_policy=
cleanup() {
  [[ -z $own_policy ]] || rm -f "$policy"
  rm -rf "$work"
}
trap cleanup EXIT

# The packages of nginx, HAProxy and Prometheus start and enable services; the lab runs its own.
if [[ ! -e $policy ]]; then
  own_policy=yes
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0)

install() {
  "${apt[@]}" install --no-install-recommends "${missing[@]}" 2>&1 | tee "$work/log" |
    while IFS= read -r line; do  # not awk: Debian's reads a pipe by the block
      case $line in
        *' newly installed,'*) total=$(sed 's/.* \([0-9]*\) newly installed.*/\1/' <<< "$line") && echo "bootstrap: $line" ;;
        'Need to get '*) echo "bootstrap: $line" ;;
        Get:*) fetched=$((fetched + 1)) && progress fetched "$fetched" ;;
        'Setting up '*) ready=$((ready + 1)) && progress 'set up' "$ready" ;;
      esac
    done
}
total=0 fetched=0 ready=0
progress() {
  (($2 % 50 != 0 && $2 != total)) || echo "bootstrap: $1 $2 of $total packages"
}

update() {
  echo "bootstrap: refreshing the package lists"
  for wait in 2 5 10; do
    "${apt[@]}" update > "$work/log" 2>&1 && return 0
    sleep "$wait"
  done
  return 1
}

services=()  # that the packages would start with the system
for package in nginx haproxy prometheus; do
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || services+=("$package")
done
echo "bootstrap: installing ${missing[*]}"
# The lists may be absent (a fresh image) or older than the archive (packages gone): refresh, once more.
if ! install; then
  update && install || {
    tail -n 20 "$work/log" >&2
    echo "bootstrap: could not install: ${missing[*]}" >&2
    exit 1
  }
fi

for service in "${services[@]}"; do
  systemctl disable -q "$service" >/dev/null 2>&1 || update-rc.d "$service" disable >/dev/null 2>&1 || true
done
echo "bootstrap: done"
