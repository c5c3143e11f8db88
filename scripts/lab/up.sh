#!/bin/bash
# Brings a lab up: four namespaces, wires, clients, real nginx backends, and limpet between them.
#
#   client            wire                lb                 wire              backend
#   c0 --------- wc0 br-front wl0 ------- l0  limpet  l1 --- wl1 br-back wb0 ------ b0
#   10.1.0.1-64  (loss, black holes)      no address  10.9.0.253                    10.2.0.10 ...
#   fd00:1::1-40                          in the kernel  (health checks only)       fd00:2::10 ...
#
# limpet's own addresses and the VIPs are in its configuration only: on a kernel interface the kernel
# would answer for them. Backends have no route to the clients; what reaches them came through limpet.
# With --one-arm there is no l1 and no br-back: b0 is on br-front too, the backends are 10.1.0.110 ... and
# fd00:1::110 ..., in the clients' network, and health checks go out by l0.
# A second `up.sh` with the same parameters changes nothing; with others it builds the lab anew.
. "$(dirname "$0")/lib.sh"

usage="usage: scripts/lab/up.sh NAME [--workers N] [--backends N] [--mtu-front N] [--mtu-back N] [--one-arm] [--no-limpet]"
(($# >= 1)) || { echo "$usage" >&2; exit 2; }
need_root
use_lab "$1"
shift
workers=1 backends=4 mtu_front=1500 mtu_back=1500 one_arm=0 with_limpet=1
number() {
  [[ ${2:-} =~ ^[0-9]{1,5}$ ]] && (($2 >= $3 && $2 <= $4)) ||
    { echo "lab: $1 takes a number from $3 to $4" >&2; exit 2; }
}
while (($#)); do
  case $1 in
    --workers) number "$1" "${2:-}" 1 16; workers=$2; shift 2 ;;
    --backends) number "$1" "${2:-}" 1 64; backends=$2; shift 2 ;;
    --mtu-front) number "$1" "${2:-}" 1280 9600; mtu_front=$2; shift 2 ;;
    --mtu-back) number "$1" "${2:-}" 1280 1500; mtu_back=$2; shift 2 ;;
    --one-arm) one_arm=1; shift ;;
    --no-limpet) with_limpet=0; shift ;;
    *) echo "$usage" >&2; exit 2 ;;
  esac
done
((one_arm == 0 || mtu_front == mtu_back)) || fail "with one arm there is one MTU: --mtu-front and --mtu-back differ"
use_arms "$one_arm"
for tool in ip nft ethtool nginx openssl ss; do
  command -v "$tool" > /dev/null || fail "$tool is missing; run scripts/bootstrap.sh"
done
((with_limpet == 0)) || [[ -x $LIMPET ]] ||
  fail "no limpet at $LIMPET; build it (meson setup build && ninja -C build) or set LIMPET_BUILD"

parameters="LAB_WORKERS=$workers
LAB_BACKENDS=$backends
LAB_MTU_FRONT=$mtu_front
LAB_MTU_BACK=$mtu_back
LAB_ONE_ARM=$one_arm
LAB_LIMPET=$with_limpet"

lock_lab
healthy() {
  [[ -r $STATE/lab.env && $(< "$STATE/lab.env") == "$parameters" ]] || return 1
  ((with_limpet == 0)) || lab_pid "$STATE/limpet.pid" "$NS_LB" > /dev/null || return 1
  local i
  for ((i = 0; i < backends; i++)); do
    lab_pid "$STATE/s$i/nginx.pid" "$NS_BACKEND" > /dev/null || return 1
  done
}
if healthy; then
  echo "lab '$NAME' is already up"
  exit 0
fi
flock -u 9
"$LAB_DIR/down.sh" "$NAME" 9>&- || true  # what an earlier run left, or a lab with other parameters
lock_lab

finished=0
clean_up_after_failure() {
  ((finished)) && return
  trap - EXIT INT TERM
  echo "lab: could not bring up '$NAME'; cleaning up" >&2
  flock -u 9
  "$LAB_DIR/down.sh" "$NAME" 9>&- || true
}
trap clean_up_after_failure EXIT
trap 'exit 130' INT TERM

mkdir -p "$STATE" "$DATA"
echo "$parameters" > "$STATE/lab.env"

# --- namespaces -------------------------------------------------------------------------------------
ip netns add "$NS_CLIENT" || fail "cannot create network namespaces: needs CAP_SYS_ADMIN (in a container: --privileged)"
for ns in "$NS_WIRE" "$NS_LB" "$NS_BACKEND"; do
  ip netns add "$ns"
done
settings() {  # NAMESPACE SETTING=VALUE...
  local ns=$1
  shift
  ip netns exec "$ns" sysctl -qw "$@"
}
for ns in "$NS_CLIENT" "$NS_LB" "$NS_BACKEND"; do
  settings "$ns" net.ipv4.ip_forward=0 net.ipv4.conf.{all,default}.rp_filter=0 \
    net.ipv6.conf.{all,default}.disable_ipv6=0 net.ipv6.conf.{all,default}.accept_dad=0 \
    net.ipv6.conf.{all,default}.accept_ra=0 net.ipv6.conf.all.forwarding=0
  ip -n "$ns" link set lo up
done
settings "$NS_WIRE" net.ipv6.conf.{all,default}.disable_ipv6=1
for switch in arptables iptables ip6tables; do  # bridged frames are none of netfilter's IP hooks' business
  ip netns exec "$NS_WIRE" sysctl -qw "net.bridge.bridge-nf-call-$switch=0" 2> /dev/null || true
done
settings "$NS_CLIENT" net.ipv4.ip_local_port_range="1024 65535"
settings "$NS_BACKEND" net.core.somaxconn=8192 net.ipv4.tcp_max_syn_backlog=8192

# --- wires ------------------------------------------------------------------------------------------
wire() {  # NAMESPACE INTERFACE MAC MTU BRIDGE PORT: an interface and its other end on a bridge
  local ns=$1 interface=$2 mac=$3 mtu=$4 bridge=$5 port=$6
  # 64 kB frames and unfinished checksums never leave a real NIC: all offloads off, on both ends.
  local off=(tx off rx off sg off tso off gso off gro off rxvlan off txvlan off)
  ip link add "$interface" netns "$ns" address "$mac" mtu "$mtu" type veth \
    peer name "$port" netns "$NS_WIRE" mtu "$mtu"
  ip netns exec "$ns" ethtool -K "$interface" "${off[@]}" > /dev/null
  ip netns exec "$NS_WIRE" ethtool -K "$port" "${off[@]}" > /dev/null
  ip -n "$NS_WIRE" link set "$port" master "$bridge" up
}
bridges=(br-front)
((one_arm)) || bridges+=(br-back)
for bridge in "${bridges[@]}"; do
  ip -n "$NS_WIRE" link add "$bridge" type bridge stp_state 0 forward_delay 0 mcast_snooping 0
  ip -n "$NS_WIRE" link set "$bridge" up
done
wire "$NS_CLIENT" c0 02:00:0a:01:00:01 "$mtu_front" br-front wc0
wire "$NS_LB" l0 02:00:0a:01:00:fe "$mtu_front" br-front wl0
((one_arm)) || wire "$NS_LB" l1 02:00:0a:02:00:fe "$mtu_back" br-back wl1
wire "$NS_BACKEND" b0 02:00:0a:02:00:0a "$mtu_back" "$BACK_BRIDGE" wb0

ip netns exec "$NS_WIRE" nft -f - << 'RULES'
table bridge limpet {
  set gone4 { type ipv4_addr; }
  set gone6 { type ipv6_addr; }
  chain gone {
    type filter hook forward priority -10; policy accept;
    ip saddr @gone4 counter drop
    ip daddr @gone4 counter drop
    ip6 saddr @gone6 counter drop
    ip6 daddr @gone6 counter drop
  }
  chain loss_front { type filter hook forward priority 0; policy accept; }
  chain loss_back { type filter hook forward priority 1; policy accept; }
}
RULES

# --- addresses --------------------------------------------------------------------------------------
{
  echo "link set c0 up"
  echo "address add 10.1.0.250/24 dev c0 noprefixroute"
  for ((i = 1; i <= CLIENTS; i++)); do
    echo "address add 10.1.0.$i/24 dev c0 noprefixroute"
    echo "address add fd00:1::$(printf %x "$i")/64 dev c0 nodad noprefixroute"
  done
  echo "address add fd00:1::250/64 dev c0 nodad noprefixroute"
  echo "route add 10.1.0.0/24 dev c0 src 10.1.0.250"
  echo "route add fd00:1::/64 dev c0 src fd00:1::250"
} | ip -n "$NS_CLIENT" -batch -
{
  echo "link set b0 up"
  for ((i = 0; i < backends; i++)); do
    echo "address add $(backend_v4 "$i")/24 dev b0 noprefixroute"
    echo "address add $(backend_v6 "$i")/64 dev b0 nodad noprefixroute"
  done
  echo "route add $BACK_NET4.0/24 dev b0"
  echo "route add $BACK_NET6:/64 dev b0"
  echo "route add 10.9.0.0/24 dev b0"
  echo "route add fd00:9::/64 dev b0"
} | ip -n "$NS_BACKEND" -batch -
((one_arm)) || settings "$NS_LB" net.ipv6.conf.l0.disable_ipv6=1
{
  echo "link set l0 up"
  ((one_arm)) || echo "link set l1 up"
  echo "address add 10.9.0.253/24 dev $BACK_INTERFACE"
  echo "address add fd00:9::253/64 dev $BACK_INTERFACE nodad"
  echo "route add $BACK_NET4.0/24 dev $BACK_INTERFACE src 10.9.0.253"
  echo "route add $BACK_NET6:/64 dev $BACK_INTERFACE src fd00:9::253"
} | ip -n "$NS_LB" -batch -

# --- backends ---------------------------------------------------------------------------------------
seen='backend=@NAME@\\ncookie=$http_cookie\\nforwarded=$http_x_forwarded_for\\n'
seen+='proxy=$proxy_protocol_addr\\nport=$proxy_protocol_port\\nserver=$proxy_protocol_server_port\\n'
# One certificate for all, signed by nobody.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=lab \
  -addext subjectAltName=DNS:lab -keyout "$STATE/key.pem" -out "$STATE/certificate.pem" 2> /dev/null ||
  fail "openssl cannot make a certificate"
cat "$STATE/key.pem" >> "$STATE/certificate.pem"
for ((i = 0; i < backends; i++)); do
  mkdir -p "$STATE/s$i/tmp" "$DATA/s$i/upload" "$DATA/s$i/body"
  sed -e "s|@SEEN@|$seen|g" -e "s|@NAME@|s$i|g" -e "s|@V4@|$(backend_v4 "$i")|g" -e "s|@V6@|$(backend_v6 "$i")|g" \
    -e "s|@DIR@|$STATE/s$i|g" -e "s|@CERTIFICATE@|$STATE/certificate.pem|g" -e "s|@DATA@|$DATA|g" "$LAB_DIR/nginx.conf.in" > "$STATE/s$i/nginx.conf"
done
starting=()
for ((i = 0; i < backends; i++)); do
  "$LAB_DIR/backend.sh" "$NAME" start "s$i" 9>&- &
  starting+=($!)
done
for pid in "${starting[@]}"; do
  wait "$pid"
done

# --- limpet -----------------------------------------------------------------------------------------
arms=()
((one_arm == 0)) || arms=(--one-arm)
"$PYTHON" "$LAB_DIR/labconfig.py" "$NAME" "${arms[@]}" --workers "$workers" --backends "$backends" \
  --mtu-front "$mtu_front" --mtu-back "$mtu_back" > "$STATE/limpet.cfg"
((with_limpet == 0)) || "$LAB_DIR/limpet.sh" "$NAME" start 9>&-

finished=1
echo "lab '$NAME' is up: $CLIENTS clients, $backends backends, $workers worker(s); VIPs $VIP4 and $VIP6"
